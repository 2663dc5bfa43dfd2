"""CIFAR-10 and CIFAR-100 (Zhang et al., section 5.1): all images in memory, and batches cut from them on the device."""

import io
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.datasets import CIFAR10, CIFAR100
from torchvision.datasets.utils import check_integrity

from mdlib.data.augment import crop, hflip
from mdlib.data.images import BROKEN
from mdlib.data.samples import collate
from mdlib.errors import DataError, SettingsError

PARTS = ("train", "test")
JPEG = "cifar10_jpeg_{part}.npz"
JPEG_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
LAYOUTS = f"cifar-10-batches-py/ or cifar-100-python/ as published, or {JPEG.format(part='train')} and _test.npz"
DAMAGED = (OSError, EOFError, ValueError, TypeError, KeyError, RuntimeError, MemoryError, zipfile.BadZipFile,
           zlib.error)
SIDE, PAD, BLOCK = 32, 4, 64    # BLOCK: images of which `colours` holds the numbers at once


class Images(NamedTuple):
    """One part of a collection: images uint8 (N, 32, 32, 3), labels int64 (N,), and the name of each label."""

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]


def read(folder: Path | str, part: str) -> Images:
    """The part `train` or `test` of the collection in `folder`, in one of these layouts.

        cifar-10-batches-py/, cifar-100-python/      the Python version as published, unpacked; fine labels
        cifar10_jpeg_train.npz, _test.npz            jpeg uint8 (bytes of all files), offsets (N + 1,), labels (N,)

    The published files are unpickled only if all have the published MD5; the npz is read without pickle, and its images
    are decoded. Raises DataError for a folder with none of them or with several, for a file that is missing, damaged
    or not the published one, and for a label or an image that is not CIFAR's; SettingsError for another part.
    """
    folder = Path(folder)
    if part not in PARTS:
        raise SettingsError(f"unknown part {part!r}", "parameter part", f"Use {' or '.join(PARTS)}.")
    published = [kind for kind in (CIFAR10, CIFAR100) if (folder / kind.base_folder).is_dir()]
    jpegs = [name for name in PARTS if (folder / JPEG.format(part=name)).is_file()]
    if len(published) + bool(jpegs) > 1:
        raise DataError("several collections in one folder", str(folder), "Give each a folder of its own.")
    if published:
        return _published(folder, published[0], part)
    if part not in jpegs:
        found = f"there is no {JPEG.format(part=part)}" if jpegs else "no CIFAR in this folder"
        raise DataError(found, str(folder), f"It must hold {LAYOUTS}.")
    return _jpegs(folder / JPEG.format(part=part))


def colours(images: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of red, green and blue over all pixels of uint8 (N, H, W, 3), in [0, 1].

    For the input of a network. `images` may be mapped from a file.
    """
    total = squares = np.zeros(3)
    for start in range(0, len(images), BLOCK):
        values = images[start:start + BLOCK].reshape(-1, 3).astype(np.float64)
        total, squares = total + values.sum(axis=0), squares + np.square(values).sum(axis=0)    # whole: no rounding
    pixels = images.size // 3
    mean = total / pixels
    std = np.sqrt(squares / pixels - mean ** 2)
    return tuple((mean / 255).tolist()), tuple((std / 255).tolist())


class DeviceImages(Dataset):
    """Images and labels as tensors on a device; a batch is cut out and augmented there, all of it at once.

    A batch: image float32 (B, 3, H, W) in [0, 1]; target int64 (B,); index int64 (B,), on the host. With training, a
    random crop of the image padded by 4 pixels of its reflection, and its mirror image with chance 1/2 (section 5.1),
    drawn from torch's global generator. Give `collate` to the DataLoader, and no workers: they cannot share a GPU.
    CIFAR-10 takes 154 MB. Raises DataError when labels or shapes do not fit.
    """

    collate = staticmethod(collate)

    def __init__(self, images: np.ndarray, labels: np.ndarray, device: torch.device | str, training: bool):
        if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8 or labels.shape != (len(images),):
            raise DataError(f"images {images.dtype} {images.shape} with labels {labels.shape}",
                            "parameters images, labels", "Give uint8 (N, H, W, 3) and (N,).")
        self.images = torch.from_numpy(images).to(device).permute(0, 3, 1, 2).contiguous()
        self.labels = torch.from_numpy(labels).to(device, torch.int64)
        self.training = training

    @property
    def on_device(self) -> bool:
        """Whether batches are on an accelerator already, so that nothing is gained by page-locked memory."""
        return self.images.device.type != "cpu"

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {name: value[0] for name, value in self.__getitems__([index]).items()}

    def __getitems__(self, indices: Sequence[int]) -> dict[str, Tensor]:
        index = torch.tensor(indices, dtype=torch.int64)
        rows = index.to(self.images.device)
        image = self.images[rows].float().div_(255)
        if self.training:
            image = hflip(crop(image, PAD))
        return {"image": image, "target": self.labels[rows], "index": index}


def _published(folder: Path, kind: type[CIFAR10], part: str) -> Images:
    inside = folder / kind.base_folder
    try:
        data = kind(folder, train=part == "train", download=False)
    except DAMAGED as error:
        sums = [*kind.train_list, *kind.test_list, [kind.meta["filename"], kind.meta["md5"]]]
        wrong = next((inside / name for name, md5 in sums if not check_integrity(inside / name, md5)), inside)
        what = f"this is not the published file ({error})" if wrong.exists() else "no such file"
        raise DataError(what, str(wrong), f"Unpack {kind.filename} from {kind.url} again: all its files are needed, "
                        "of both parts.") from None
    return Images(data.data, np.array(data.targets, dtype=np.int64), tuple(data.classes))


def _jpegs(path: Path) -> Images:
    try:
        with np.load(path, allow_pickle=False) as file:
            packed, offsets, labels = file["jpeg"], file["offsets"], file["labels"]
    except DAMAGED as error:
        raise DataError(f"the file is damaged, or no npz of arrays jpeg, offsets and labels ({error})", str(path),
                        "Copy it again; pickled objects are not read.") from None
    _refuse_other_arrays(path, packed, offsets, labels)
    images = np.empty((len(labels), SIDE, SIDE, 3), np.uint8)
    for i, (start, end) in enumerate(zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)):
        try:
            with Image.open(io.BytesIO(packed[start:end].tobytes()), formats=["JPEG"]) as image:
                if image.size != (SIDE, SIDE):
                    raise ValueError(f"{image.width} x {image.height} pixels, not {SIDE} x {SIDE}")
                images[i] = image.convert("RGB")
        except BROKEN as error:
            raise DataError(f"image {i} cannot be used ({error})", str(path), "Copy or write the file again.") from None
    return Images(images, labels.astype(np.int64), JPEG_CLASSES)


def _refuse_other_arrays(path: Path, packed: np.ndarray, offsets: np.ndarray, labels: np.ndarray) -> None:
    whole = all(array.ndim == 1 and array.dtype.kind in "iu" for array in (packed, offsets, labels))
    faults = {
        "jpeg, offsets and labels are not rows of whole numbers": not whole,
        "jpeg is not uint8": packed.dtype != np.uint8,
        "there is not one label per image": len(offsets) != len(labels) + 1,
        "offsets do not lead through jpeg": whole and len(offsets) > 0 and not (
            offsets[0] == 0 and offsets[-1] == len(packed) and (offsets[1:] >= offsets[:-1]).all()),
        f"a label is not one of 0 to {len(JPEG_CLASSES) - 1}": whole and not (
            (labels >= 0) & (labels < len(JPEG_CLASSES))).all()}
    for fault, found in faults.items():
        if found:
            raise DataError(fault, str(path), "Write the file again; see mdlib.data.cifar.read for its layout.")
