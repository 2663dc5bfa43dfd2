"""What a trained network says of images that are in no collection: tables, and a page an image.

    OUT/predictions.csv    a row an image and class
    OUT/warnings.csv       a row a warning, and a row an image that could not be read
    OUT/<image>.html       the image with its maps, the table, the warnings
    OUT/prediction.json    by which network, of which files
"""

import csv
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from lightning_fabric import Fabric
from torch import nn

from mdlib import runs
from mdlib.data import images
from mdlib.errors import DataError, SettingsError
from mdlib.files import atomic, fingerprint, read_json, stamp, write_json
from mdlib.progress import track
from mdlib.recipes.chest import card as cards
from mdlib.recipes.chest import report, viewing
from mdlib.recipes.chest.incoming import Beside, Seen, batch_of, look
from mdlib.training import loop

Page = Callable[[dict, str, str], str]
UNKNOWN = Beside()
BATCH = 8           # images a step, with their maps
SUFFIXES = {".png", ".jpg", ".jpeg", ".dcm", ".dicom", ".tif", ".tiff", ".bmp", ".webp"}
NAME_BYTES = 200    # file systems take 255, and a name gets an ending and a temporary one
PREDICTIONS = ("image", "class", "probability", "threshold", "above", "sensitivity", "specificity", "positives",
               "negatives", "warnings")
WARNINGS = ("image", "check", "warning")


def predict(checkpoint: Path | str, paths: Iterable[Path | str], out: Path | str, device: str = "auto",
            given: Beside = UNKNOWN, page: Page | None = None) -> dict[str, str]:
    """Write the tables and pages of these images (files, or folders of them); return the failures: message by image.

    The network is that of `checkpoint`, a file or its folder, with its card beside it. page(case, title, above) -> HTML
    makes the pages, None makes none: this layer shows nothing. An image that cannot be read is a failure; the others
    go on. Each file is written whole or not at all, the tables last. Images of one name in different folders keep
    their folders below the one that they share.

    Raises DataError for a checkpoint or card that cannot be used, SettingsError where there are no images, and where
    `out` holds anything but an earlier answer of the same network to the same files.
    """
    card, out, files = cards.read(checkpoint), Path(out), find(paths)
    fabric = loop.start(device, precision=card.settings.precision)
    model = cards.load(card).to(fabric.device)
    try:
        claim(out, card, files, given)
        return _predict(card, model, fabric, files, out, given, page)
    except OSError as error:    # images that cannot be read are DataErrors
        raise DataError(f"writing failed ({error.strerror})", str(error.filename or out),
                        "Free some space, or name another --out.") from None


def _predict(card: cards.Card, model: nn.Module, fabric: Fabric, files: list[Path], out: Path, given: Beside,
             page: Page | None) -> dict[str, str]:
    failures: dict[str, str] = {}
    with _table(out / "predictions.csv", PREDICTIONS) as numbers, _table(out / "warnings.csv", WARNINGS) as notes:
        for seen in _batches(_read(card, files, given, failures)):
            batch = batch_of(card, seen)
            probability = report.probabilities(fabric, model, batch)
            for one, values in zip(seen, probability, strict=True):
                numbers.writerows(rows(card, one, values))
                notes.writerows((cell(one.name), *warning) for warning in one.warnings.items())
            if page:
                maps = viewing.maps_of(model, card.training.network, batch)[:2]
                _write_pages(out, card, seen, probability, maps, page)
        notes.writerows((cell(name), "not read", cell(message)) for name, message in failures.items())
    return failures


def _write_pages(out: Path, card: cards.Card, images_seen: Sequence[Seen], probability: np.ndarray,
                 maps: tuple[dict, dict], page: Page) -> None:
    for i, seen in enumerate(images_seen):
        values, signal = ({method: of[i] for method, of in part.items()} for part in maps)
        text = page(report.case(card, seen, probability[i], values, signal), report.plain(seen.name),
                    report.above(card, seen, probability[i]))
        with atomic(out / page_name(seen.name)) as part:
            part.write_text(text, encoding="utf-8")


def find(paths: Iterable[Path | str]) -> list[Path]:
    """The files, and of each folder all images in it and below it, each once. Raises SettingsError for none."""
    found: dict[Path, Path] = {}
    for path in map(Path, paths):
        inside = sorted(filter(_is_image, path.rglob("*"))) if path.is_dir() else [path]
        for file in inside:
            found.setdefault(file.resolve(), Path(os.path.abspath(file)))
    if not found:
        raise SettingsError("there is no image", "IMAGES", f"Name files, or folders that hold {', '.join(SUFFIXES)} "
                            "or DICOM files.")
    return list(found.values())


def _is_image(path: Path) -> bool:
    """By its name, or DICOM by its content: archives give it no ending. Hidden files are none."""
    if path.name.startswith(".") or not path.is_file():
        return False
    if path.suffix.lower() in SUFFIXES:
        return True
    try:
        return images.is_dicom(path)
    except DataError:
        return False


def names_of(files: Sequence[Path]) -> list[str]:
    """The path of each file below the folder that all of them share."""
    common = os.path.commonpath([file.parent for file in files])
    return [str(file.relative_to(common)) for file in files]


def page_name(name: str) -> str:
    """Where the page of an image lies; a name too long for a file system is cut, and told apart by a fingerprint."""
    folder, last = os.path.split(name)
    if len(os.fsencode(last)) > NAME_BYTES:
        last = f"{os.fsencode(last)[:NAME_BYTES // 2].decode(errors='ignore')}-{fingerprint(os.fsencode(last).hex())}"
    return os.path.join(folder, f"{last}.html")


def cell(text: str) -> str:
    """Text for a table: one line, and none that a spreadsheet takes for a formula."""
    text = report.plain(text)
    return f"./{text}" if text[:1] in ("=", "+", "-", "@") else text


def claim(out: Path, card: cards.Card, files: Sequence[Path], given: Beside) -> None:
    """Mark `out` as the answer of this network to these files, told this beside them; drop pages told otherwise.

    Raises SettingsError where it holds anything else.
    """
    mark = out / "prediction.json"
    asked = {"files": fingerprint([stamp([file])[0] if file.exists() else str(file) for file in files]),
             "images": len(files), "training": card.training.slug, "weights": card.weights,
             "data": card.data, "code": card.code, "given": runs.without_nan(given._asdict())}
    if out.exists() and not out.is_dir():
        raise SettingsError("this is a file, not a folder", str(out), "Name another --out.")
    if mark.exists() and (before := read_json(mark)) != asked:
        if before | {"given": asked["given"]} != asked:
            raise SettingsError("this folder holds the answer to other files, or of another network", str(out),
                                "Name another --out, or delete the folder.")
        for name in names_of(files):
            (out / page_name(name)).unlink(missing_ok=True)     # of a network that was told something else
    if not mark.exists() and out.exists() and any(out.iterdir()):
        raise SettingsError("this folder is not empty, and was not written by mdlib predict", str(out),
                            "Name another --out.")
    write_json(mark, asked)


def _read(card: cards.Card, files: Sequence[Path], given: Beside, failures: dict[str, str]) -> Iterator[Seen]:
    """The images one after the other; those that cannot be read go into `failures`."""
    for file, name in zip(track(files, "predicting", len(files)), names_of(files), strict=True):
        try:
            yield look(card, file, name, given)
        except DataError as error:
            failures[name] = str(error)


def _batches(images_seen: Iterator[Seen]) -> Iterator[list[Seen]]:
    while batch := list(itertools.islice(images_seen, BATCH)):
        yield batch


def rows(card: cards.Card, seen: Seen, probability: np.ndarray) -> Iterator[list]:
    """The rows of one image in predictions.csv, a class each; what is not known is left empty."""
    for value, point in zip(probability.tolist(), card.operating_points.itertuples(), strict=True):
        above = "" if np.isnan(point.threshold) else int(value >= point.threshold)
        yield [cell(seen.name), point.Index, _number(value), _number(point.threshold), above,
               _number(point.sensitivity), _number(point.specificity), int(point.positives), int(point.negatives),
               len(seen.warnings)]


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.7g}"


@contextmanager
def _table(path: Path, columns: Sequence[str]) -> Iterator[Any]:
    """A csv writer into a table that is there, whole, once the block has ended well."""
    with atomic(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        yield writer
