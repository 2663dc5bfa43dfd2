"""Volumes and images from outside any collection on their way to a network of chapter 2, with warnings."""

import os
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mdlib.data import headers, images
from mdlib.data.checks import bags
from mdlib.data.checks.files import warnings_of_header, warnings_of_size
from mdlib.data.volumes import in_order, refuse_sizes
from mdlib.errors import DataError
from mdlib.progress import track
from mdlib.recipes.mims.explained import central
from mdlib.study.inference import Source, images_in, refuse_none
from mdlib.study.pages import shown

if TYPE_CHECKING:
    from mdlib.recipes.mims.predict import Predictor

MODALITIES = {"mmd": "OP", "crc_msi": "SM"}     # photographs, slide microscopy; all others are "OPT", tomography


class Volume(NamedTuple):
    """One volume as it goes to the network and to its page: its S central slices."""

    name: str
    slices: Tensor              # float32 (S, 1 or 3, H, W) in [0, 1], what the network sees
    images: np.ndarray          # uint8 (S, h, w) or (S, h, w, 3), for the eye
    places: tuple[tuple[Path, int, int], ...]   # of each: its file, its frame there from 0, its place from 0
    count: int                  # slices of the whole volume
    warnings: dict[str, str]    # sentence by name of the check

    def where(self, index: int) -> str:
        """The file of a slice, and its frame where the volume is one file of several."""
        file, frame, _ = self.places[index]
        several = self.count > 1 and len({place[0] for place in self.places}) == 1
        return f"{file.name}, frame {frame + 1}" if several else file.name


def find(paths: Iterable[Path | str], apart: bool) -> list[Source]:
    """The volumes in these files and folders, each once. Raises SettingsError for none.

    The images of a folder are the slices of one volume, unless the folder also holds other volumes (folders with
    images, or files of several frames), or all are wanted `apart`: then each of them is a volume of its own, as every
    file is that is named by itself.
    """
    paths, found = [*map(Path, paths)], {}
    for path in paths:
        for volume in _below(path, apart) if path.is_dir() else [Source(path, (path,))]:
            of = Source(Path(os.path.abspath(volume.path)), tuple(Path(os.path.abspath(each)) for each in volume.files))
            found.setdefault(volume.path.resolve(), of)
    refuse_none(found, paths)
    return list(found.values())


def _below(folder: Path, apart: bool) -> Iterator[Source]:
    files = sorted(images_in(folder), key=lambda file: (file.parent, file.name))
    folders = {inside: list(of) for inside, of in groupby(files, key=lambda file: file.parent)}
    above = {parent for inside in folders for parent in inside.parents}
    for inside, of in track(folders.items(), "looking for volumes", len(folders), disable=apart):
        if apart or inside in above or any(_frames(file) > 1 for file in of):
            yield from (Source(file, (file,)) for file in of)
        else:
            yield Source(inside, tuple(of))


def _frames(file: Path) -> int:
    """1 of a damaged file as well: it is told when it is read."""
    try:
        return headers.read_size(file)[0]
    except DataError:
        return 1


def read(network: "Predictor", volume: Source, name: str) -> Volume:
    """The central slices of a volume in the geometry of the training, with warnings.

    Raises DataError for a slice that cannot be read or has another size, and where one is missing.
    """
    everything = _slices(volume)
    places = tuple((*everything[i], int(i)) for i in central(len(everything), network.n_central))
    read = [_read(file, frame, network.colour) for file, frame, _ in places]
    pixels = torch.from_numpy(np.stack([images.resized(each, network.shape) for each in read]))
    slices = pixels.permute(0, 3, 1, 2) if network.colour else pixels[:, None]
    slices = slices.float().div_(255).contiguous()
    size = read[0].shape[:2]
    modality = MODALITIES.get(network.collection, "OPT")
    warnings = (warnings_of_header(headers.read_header(places[0][0]), (modality,), network.colour)
                | warnings_of_size(size, network.shape, network.reference.aspect_ratios)
                | bags.warnings_of(slices, network.reference))
    return Volume(name, slices, np.stack([shown(each) for each in read]), places, len(everything), warnings)


def _slices(volume: Source) -> list[tuple[Path, int]]:
    """File and frame of every slice, in order."""
    if volume.files == (volume.path,):
        return [(volume.path, frame) for frame in range(headers.read_size(volume.path)[0])]
    names = in_order([file.name for file in volume.files], volume.path)
    files = [volume.path / name for name in names]
    refuse_sizes(files)
    return [(file, 0) for file in files]


def _read(file: Path, frame: int, colour: bool) -> np.ndarray:
    """A slice as it is read for the training, uint8 (H, W) or (H, W, 3)."""
    return images.read_colour(file) if colour else images.read_grey(file, frame)
