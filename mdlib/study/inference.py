"""Applying a trained network to files that are in no collection: tables, and one page per image or volume.

    OUT/predictions.csv    what the network predicts
    OUT/warnings.csv       one row per warning, and one per image or volume that could not be read
    OUT/<name>.html        one page per image or volume, where pages are wanted
    OUT/prediction.json    by which network, for which files
"""

import csv
import importlib
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from lightning_fabric import Fabric

from mdlib import runs
from mdlib.data import images
from mdlib.data.phantoms.collection import is_phantom
from mdlib.errors import DataError, SettingsError
from mdlib.files import atomic, fingerprint, read_json, stamp, write_json
from mdlib.progress import track
from mdlib.study import bundle, pages
from mdlib.study.bundle import Bundle, Origin
from mdlib.study.pages import page_name, plain
from mdlib.training import loop

Page = Callable[[dict, str, str], str]      # (case, title, HTML above it) -> HTML
SUFFIXES = {".png", ".jpg", ".jpeg", ".dcm", ".dicom", ".tif", ".tiff", ".bmp", ".webp"}
TABLE, WARNINGS, MARK = "predictions.csv", "warnings.csv", "prediction.json"
NOT_READ = "not read"


class Source(NamedTuple):
    """What gets one prediction: an image file, or the folder or file of a volume."""

    path: Path
    files: tuple[Path, ...]


class Input(Protocol):
    """An image or volume as it goes to the network; a paper adds what it needs."""

    name: str
    warnings: dict[str, str]        # sentence by name of the check


class Predictor:
    """How the networks of a paper are applied to files. The module that `Paper.inference` names has a subclass.

    It is made from a bundle, and raises ValueError, KeyError or TypeError where facts or reference are not what the
    paper's `card` and `reference` give.
    """

    unit = "image"                      # what one prediction is for, and the name of the first column
    batch_size = 8
    options: Sequence[str] = ()         # names of what may be given beside the files
    without_card = ""                   # which networks of the paper have no card, in a sentence

    def __init__(self, bundle: Bundle):
        self.bundle = bundle

    @property
    def columns(self) -> Sequence[str]:
        """Columns of predictions.csv between the name and the number of warnings."""
        raise NotImplementedError

    def find(self, paths: Iterable[Path | str]) -> list[Source]:
        """What these files and folders hold."""
        return [Source(file, (file,)) for file in find(paths)]

    def read(self, source: Source, name: str, given: Mapping[str, Any]) -> Input:
        """Read a source in the geometry of the training, with warnings. Raises DataError for one that is unusable."""
        raise NotImplementedError

    def predict(self, fabric: Fabric, inputs: Sequence[Any], with_maps: bool) -> Iterable[Any]:
        """What the network, on Fabric's device, predicts for each input; maps are needed where there are pages."""
        raise NotImplementedError

    def warnings(self, read: Any, prediction: Any) -> Mapping[str, str]:
        """Sentence by name of the check."""
        return read.warnings

    def rows(self, read: Any, prediction: Any) -> Iterable[Sequence[Any]]:
        """The rows of one input in predictions.csv, for `columns`."""
        raise NotImplementedError

    def case(self, read: Any, prediction: Any) -> dict[str, Any]:
        """An input for the page, as `mdlib.widgets.explorer.Case` takes it."""
        raise NotImplementedError

    def text(self, read: Any, prediction: Any) -> str:
        """HTML for the page, below the warnings: the numbers."""
        raise NotImplementedError

    def description(self) -> str:
        """Two or three sentences: which network, what it was trained on, what it sees."""
        raise NotImplementedError


def predict(paper: Origin, folder: Path | str, paths: Iterable[Path | str], out: Path | str, device: str = "auto",
            given: Mapping[str, Any] | None = None, page: Page | None = None) -> dict[str, str]:
    """Write tables and pages for these files (and folders of files); return the failures, message by name.

    folder: of the trained network (`bundle.load`). given: what holds for all files that do not say it themselves, for
    networks that need it. page(case, title, above) -> HTML makes the pages, None makes none: this layer shows nothing.
    What cannot be read is a failure; the others go on. Each file is written whole or not at all, the tables last.
    Images of one name in different folders keep their folders below the one that they share.

    Raises DataError for a bundle that cannot be used, SettingsError where there are no images, where something is
    given that these networks do not use, and where `out` holds anything but an earlier answer of the same network for
    the same files.
    """
    predictor, out, given = open_predictor(paper, folder), Path(out), dict(given or {})
    if unused := set(given) - set(predictor.options):
        raise SettingsError("these networks see the images only", ", ".join(f"--{name}" for name in sorted(unused)),
                            "Leave it out: these networks do not use it.")
    sources = predictor.find(paths)
    names = names_of([source.path for source in sources])
    fabric = loop.start(device, precision=predictor.bundle.settings.precision)
    predictor.bundle.model.to(fabric.device)
    claim(out, predictor.bundle, [file for source in sources for file in source.files], names, given)
    failures: dict[str, str] = {}
    with tables(out, (predictor.unit, *predictor.columns, "warnings"), failures) as (numbers, notes):
        readable = _readable(predictor, sources, names, given, failures)
        while batch := list(itertools.islice(readable, predictor.batch_size)):
            for read, prediction in zip(batch, predictor.predict(fabric, batch, page is not None), strict=True):
                warnings, name = predictor.warnings(read, prediction), cell(read.name)
                numbers.writerows([name, *row, len(warnings)] for row in predictor.rows(read, prediction))
                notes.writerows((name, *warning) for warning in warnings.items())
                if page:
                    above = pages.above(predictor.description(), warnings, predictor.unit,
                                        predictor.text(read, prediction))
                    _write_page(out, read.name, page(predictor.case(read, prediction), plain(read.name), above))
    return failures


def description(paper: Origin, folder: Path | str) -> str:
    """Two or three sentences about the network in a folder: what it is, and what it was trained on."""
    return open_predictor(paper, folder).description()


def open_predictor(paper: Origin, folder: Path | str) -> Predictor:
    """The bundle in a folder, ready to predict. Raises DataError for one that cannot be used."""
    predictor = importlib.import_module(paper.inference).Predictor
    found = bundle.load(folder, paper, predictor.without_card)
    with bundle.checking(found.card):
        return predictor(found)


def _readable(predictor: Predictor, sources: Sequence[Source], names: Sequence[str], given: Mapping[str, Any],
              failures: dict[str, str]) -> Iterator[Any]:
    """The inputs one after the other; what cannot be read goes into `failures` instead."""
    for source, name in zip(track(sources, "predicting", len(names)), names, strict=True):
        try:
            yield predictor.read(source, name, given)
        except DataError as error:
            failures[name] = str(error)


def find(paths: Iterable[Path | str]) -> list[Path]:
    """The files, and of each folder its `images_in`, each once. Raises SettingsError where there is none."""
    paths, found = [*map(Path, paths)], {}
    for path in paths:
        for file in sorted(images_in(path)) if path.is_dir() else [path]:
            found.setdefault(file.resolve(), Path(os.path.abspath(file)))
    refuse_none(found, paths)
    return list(found.values())


def images_in(folder: Path) -> list[Path]:
    """All images in a folder and below it, without the masks in the folder `truth` of a phantom collection."""
    files = list(folder.rglob("*"))
    truth = {inside for inside in {file.parent for file in files}
             if inside.name == "truth" and is_phantom(inside.parent)}
    return [file for file in files if is_image(file) and truth.isdisjoint(file.parents)]


def is_image(path: Path) -> bool:
    """By its name, or DICOM by its content: archives give it no ending. Hidden files are none."""
    if path.name.startswith(".") or not path.is_file():
        return False
    if path.suffix.lower() in SUFFIXES:
        return True
    try:
        return images.is_dicom(path)
    except DataError:
        return False


def refuse_none(found: Mapping, paths: Sequence[Path]) -> None:
    """Raises SettingsError for a path that does not exist, and where no image was found."""
    for path in paths:
        if not path.exists():
            raise SettingsError("there is no such file or folder", str(path), "Check the path.")
    if not found:
        raise SettingsError("there is no image", ", ".join(map(str, paths)) or "IMAGES",
                            f"Name files, or folders that hold {', '.join(sorted(SUFFIXES))} or DICOM files.")


def names_of(files: Sequence[Path]) -> list[str]:
    """The path of each file below the folder that all of them share."""
    common = os.path.commonpath([file.parent for file in files])
    return [str(file.relative_to(common)) for file in files]


def cell(text: str) -> str:
    """Text for a table: one line, and none that a spreadsheet takes for a formula."""
    text = plain(text)
    return f"./{text}" if text[:1] in ("=", "+", "-", "@") else text


def number(value: float) -> str:
    """A number for a table, empty where it is not known."""
    return "" if np.isnan(value) else f"{value:.7g}"


def claim(out: Path, of: Bundle, files: Sequence[Path], names: Sequence[str], given: Mapping[str, Any]) -> None:
    """Mark `out` as the answer of a network for these files and what is given beside them.

    names: of what has a page; pages of another `given` are deleted. Raises SettingsError where `out` holds anything
    else.
    """
    mark = out / MARK
    asked = {"files": fingerprint([stamp([file])[0] if file.exists() else str(file) for file in files]),
             "images": len(files), "paper": of.paper.name, "run": of.run.slug, "weights": of.weights, "data": of.data,
             "code": of.code, "given": runs.without_nan(dict(given))}
    if out.exists() and not out.is_dir():
        raise SettingsError("this is a file, not a folder", str(out), "Name another --out.")
    if mark.exists() and (before := read_json(mark)) != asked:
        if before | {"given": asked["given"]} != asked:
            raise SettingsError("this folder holds the predictions for other files, or of another network", str(out),
                                "Name another --out, or delete the folder.")
        for name in names:
            (out / page_name(name)).unlink(missing_ok=True)     # something else was given
    if not mark.exists() and out.exists() and any(out.iterdir()):
        raise SettingsError("this folder is not empty, and was not written by mdlib predict", str(out),
                            "Name another --out.")
    with _writing(out):
        write_json(mark, asked)


@contextmanager
def tables(out: Path, columns: Sequence[str], failures: Mapping[str, str]) -> Iterator[tuple[Any, Any]]:
    """csv writers into the two tables, which are there, whole, once the block has ended well; failures come last.

    columns: of the table of predictions. Raises DataError where writing fails.
    """
    with (_writing(out), _table(out / TABLE, columns) as numbers,
          _table(out / WARNINGS, (columns[0], "check", "warning")) as notes):
        yield numbers, notes
        notes.writerows((cell(name), NOT_READ, cell(message)) for name, message in failures.items())


@contextmanager
def _table(path: Path, columns: Sequence[str]) -> Iterator[Any]:
    with atomic(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        yield writer


def _write_page(out: Path, name: str, page: str) -> None:
    with atomic(out / page_name(name)) as part:
        part.write_text(page, encoding="utf-8")


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    """What cannot be written becomes a DataError; what cannot be read is one already."""
    try:
        yield
    except OSError as error:
        raise DataError(f"writing failed ({error.strerror})", str(error.filename or out),
                        "Free some space, or name another --out.") from None
