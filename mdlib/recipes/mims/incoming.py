"""Volumes and pictures from outside any collection on their way to a network of chapter 2, and what is strange."""

import os
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mdlib.data import headers, images
from mdlib.data.volumes import in_order, refuse_sizes
from mdlib.errors import DataError
from mdlib.progress import track
from mdlib.recipes import unlike
from mdlib.recipes.answers import is_image, refuse_none, shown
from mdlib.recipes.mims import reference
from mdlib.recipes.mims.card import Card
from mdlib.recipes.mims.explained import central

MODALITIES = {"mmd": "OP", "crc_msi": "SM"}     # photographs, slide microscopy; all others are "OPT", tomography


class Volume(NamedTuple):
    """What is asked about as one: a folder of slices, or a file with all its frames."""

    path: Path
    files: tuple[Path, ...]


class Seen(NamedTuple):
    """One volume as it goes to the network and to its page: its S central slices."""

    name: str
    slices: Tensor              # float32 (S, 1 or 3, H, W) in [0, 1], what the network sees
    pictures: np.ndarray        # uint8 (S, h, w) or (S, h, w, 3), for the eye
    places: tuple[tuple[Path, int, int], ...]   # of each: its file, its frame there from 0, its place from 0
    count: int                  # slices of the whole volume
    warnings: dict[str, str]    # a sentence by the name of the check


def find(paths: Iterable[Path | str], apart: bool) -> list[Volume]:
    """The volumes in these files and folders, each once. Raises SettingsError for none.

    The images of a folder are the slices of one volume, unless the folder also holds other volumes (folders with
    images, or files of several frames), or all are wanted `apart`: then each of them is a volume of its own, as every
    file is that is named by itself.
    """
    found: dict[Path, Volume] = {}
    for path in map(Path, paths):
        for volume in _below(path, apart) if path.is_dir() else [Volume(path, (path,))]:
            of = Volume(Path(os.path.abspath(volume.path)), tuple(Path(os.path.abspath(each)) for each in volume.files))
            found.setdefault(volume.path.resolve(), of)
    refuse_none(found)
    return list(found.values())


def _below(folder: Path, apart: bool) -> Iterator[Volume]:
    files = sorted(filter(is_image, folder.rglob("*")), key=lambda file: (file.parent, file.name))
    folders = {inside: list(of) for inside, of in groupby(files, key=lambda file: file.parent)}
    above = {parent for inside in folders for parent in inside.parents}
    for inside, of in track(folders.items(), "looking for volumes", len(folders), disable=apart):
        if apart or inside in above or any(_frames(file) > 1 for file in of):
            yield from (Volume(file, (file,)) for file in of)
        else:
            yield Volume(inside, tuple(of))


def _frames(file: Path) -> int:
    """1 of a damaged file as well: it is told when it is read."""
    try:
        return headers.read_size(file)[0]
    except DataError:
        return 1


def look(card: Card, volume: Volume, name: str) -> Seen:
    """The central slices of a volume in the geometry of the training, and what is strange about them.

    Raises DataError for a slice that cannot be read or has another size, and where one is missing.
    """
    everything = _slices(volume)
    places = tuple((*everything[i], int(i)) for i in central(len(everything), card.settings.central))
    read = [_read(card, file, frame) for file, frame, _ in places]
    pixels = torch.from_numpy(np.stack([images.resized(each, card.shape) for each in read]))
    slices = pixels.permute(0, 3, 1, 2) if card.colour else pixels[:, None]
    slices = slices.float().div_(255).contiguous()
    size = read[0].shape[:2]
    modality = MODALITIES.get(card.training.collection, "OPT")
    warnings = (unlike.of_header(headers.read_header(places[0][0]), modality, card.colour)
                | reference.warnings_of_size(size, card.shape, len(read), card.reference)
                | reference.warnings_of(slices, card.reference))
    return Seen(name, slices, np.stack([shown(each) for each in read]), places, len(everything), warnings)


def _slices(volume: Volume) -> list[tuple[Path, int]]:
    """File and frame of every slice, in order."""
    if volume.files == (volume.path,):
        return [(volume.path, frame) for frame in range(headers.read_size(volume.path)[0])]
    names = in_order([file.name for file in volume.files], volume.path)
    files = [volume.path / name for name in names]
    refuse_sizes(files)
    return [(file, 0) for file in files]


def _read(card: Card, file: Path, frame: int) -> np.ndarray:
    """A slice as it is read for the training, uint8 (H, W) or (H, W, 3)."""
    return images.read_colour(file) if card.colour else images.read_grey(file, frame)
