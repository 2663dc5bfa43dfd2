"""What a network says of images or volumes that are in no collection, of any chapter: where it is kept, and how.

    OUT/predictions.csv    what the network says
    OUT/warnings.csv       a row a warning, and a row an image or volume that could not be read
    OUT/<name>.html        a page each, where pages are asked for
    OUT/prediction.json    by which network, of which files
"""

import csv
import itertools
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from mdlib import runs
from mdlib.data import images
from mdlib.errors import DataError, SettingsError
from mdlib.files import atomic, fingerprint, read_json, stamp, write_json
from mdlib.progress import track

Asked, Seen = TypeVar("Asked"), TypeVar("Seen")
Page = Callable[[dict, str, str], str]      # (case, title, HTML above it) -> HTML
SUFFIXES = {".png", ".jpg", ".jpeg", ".dcm", ".dicom", ".tif", ".tiff", ".bmp", ".webp"}
SHOWN = 512         # pixels of the longer side of a picture on a page, at most
NAME_BYTES = 200    # file systems take 255, and a name gets an ending and a temporary one
TABLE, NOTES, MARK = "predictions.csv", "warnings.csv", "prediction.json"
NOT_READ = "not read"
NO_DEVICE = "<p><strong>Research software, not a medical device.</strong> Nothing here is a diagnosis.</p>"
STYLE = """<style>
  .warnings { border: 2px solid light-dark(#9a3412, #fdba74); border-radius: 0.4rem; padding: 0.5rem 1rem; }
  .warnings h2 { font-size: 1.1rem; margin: 0.25rem 0; }
  .warnings ul { margin: 0.25rem 0; padding-left: 1.25rem; }
  .numbers { overflow-x: auto; margin: 1rem 0; }
  .numbers td, .numbers thead th + th { text-align: right; }
  .numbers tbody th { font-weight: 400; }
  .numbers .above > * { font-weight: 700; }
</style>"""


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


def find(paths: Iterable[Path | str]) -> list[Path]:
    """The files, and of each folder all images in it and below it, each once. Raises SettingsError for none."""
    found: dict[Path, Path] = {}
    for path in map(Path, paths):
        inside = sorted(filter(is_image, path.rglob("*"))) if path.is_dir() else [path]
        for file in inside:
            found.setdefault(file.resolve(), Path(os.path.abspath(file)))
    refuse_none(found)
    return list(found.values())


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


def plain(name: str) -> str:
    """A file name as one line of text, whatever bytes it is made of."""
    text = os.fsencode(name).decode(errors="replace")
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def cell(text: str) -> str:
    """Text for a table: one line, and none that a spreadsheet takes for a formula."""
    text = plain(text)
    return f"./{text}" if text[:1] in ("=", "+", "-", "@") else text


def number(value: float) -> str:
    """A number for a table, empty where it is not known."""
    return "" if np.isnan(value) else f"{value:.7g}"


def refuse_none(found: Collection) -> None:
    """Raises SettingsError where nothing was found to ask about."""
    if not found:
        raise SettingsError("there is no image", "IMAGES", f"Name files, or folders that hold {', '.join(SUFFIXES)} "
                            "or DICOM files.")


def refuse_given(given: Mapping[str, Any] | None) -> None:
    """Raises SettingsError where a network that sees pictures only is told anything beside them."""
    if given:
        raise SettingsError("these networks see the pictures only", ", ".join(f"--{name}" for name in given),
                            "Leave it out: it is for networks of chest.")


def claim(out: Path, card: Any, files: Sequence[Path], names: Sequence[str], given: Mapping[str, Any]) -> None:
    """Mark `out` as the answer of a card's network to these files, told `given` beside them; drop pages told otherwise.

    names: of what has a page. Raises SettingsError where `out` holds anything else.
    """
    mark = out / MARK
    network = {"training": card.training.slug, "weights": card.weights, "data": card.data, "code": card.code}
    asked = {"files": fingerprint([stamp([file])[0] if file.exists() else str(file) for file in files]),
             "images": len(files), **network, "given": runs.without_nan(dict(given))}
    if out.exists() and not out.is_dir():
        raise SettingsError("this is a file, not a folder", str(out), "Name another --out.")
    if mark.exists() and (before := read_json(mark)) != asked:
        if before | {"given": asked["given"]} != asked:
            raise SettingsError("this folder holds the answer to other files, or of another network", str(out),
                                "Name another --out, or delete the folder.")
        for name in names:
            (out / page_name(name)).unlink(missing_ok=True)     # of a network that was told something else
    if not mark.exists() and out.exists() and any(out.iterdir()):
        raise SettingsError("this folder is not empty, and was not written by mdlib predict", str(out),
                            "Name another --out.")
    with _writing(out):
        write_json(mark, asked)


def readable(asked: Iterable[Asked], names: Sequence[str], look: Callable[[Asked, str], Seen],
             failures: dict[str, str]) -> Iterator[Seen]:
    """look(each, its name), one after the other; what cannot be read goes into `failures` instead."""
    for each, name in zip(track(asked, "predicting", len(names)), names, strict=True):
        try:
            yield look(each, name)
        except DataError as error:
            failures[name] = str(error)


def batches(seen: Iterator[Seen], size: int) -> Iterator[list[Seen]]:
    """`size` at a time, and what is left."""
    while batch := list(itertools.islice(seen, size)):
        yield batch


def shown(image: np.ndarray) -> np.ndarray:
    """A picture, uint8 (H, W) or (H, W, 3), as it is on a page: its longer side has at most SHOWN pixels."""
    height, width = image.shape[:2]
    scale = SHOWN / max(height, width, SHOWN)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS)) if scale < 1 else image


@contextmanager
def tables(out: Path, columns: Sequence[str], failures: Mapping[str, str]) -> Iterator[tuple[Any, Any]]:
    """csv writers into the two tables, which are there, whole, once the block has ended well; failures come last.

    columns: of the table of predictions; what a row is called is the first. Raises DataError where writing fails.
    """
    with (_writing(out), _table(out / TABLE, columns) as numbers,
          _table(out / NOTES, (columns[0], "check", "warning")) as notes):
        yield numbers, notes
        notes.writerows((cell(name), NOT_READ, cell(message)) for name, message in failures.items())


def write_page(out: Path, name: str, page: str) -> None:
    """Write the page of an image or volume."""
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


def warned(warnings: Mapping[str, str], what: str = "image") -> str:
    """HTML: the warnings of one image, or of whatever it is called."""
    if not warnings:
        return f"<p>None of the checks of the {what} has found anything strange; that is no assurance.</p>"
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in warnings.values())
    heading = "1 warning" if len(warnings) == 1 else f"{len(warnings)} warnings"
    return f'<section class="warnings"><h2>{heading}</h2><ul>{items}</ul></section>'


def learned(network: str, of: str, data: Mapping[str, Any], real: str) -> str:
    """A sentence: which network has learned from `of`, of which collection (a card's `data`), and what that means.

    real: what its pictures are called where they are of patients, as "radiographs".
    """
    kind = f"drawn phantoms, no patients: what it says of real {real} means nothing" if data["phantoms"] else (
        f"{real} of patients; of other hospitals, devices and patients its numbers may not hold")
    return f"The network {network} has learned from {of} of the collection “{data['name']}”: {kind}."


def probabilities(classes: Sequence[str], probability: np.ndarray, note: str = "") -> str:
    """HTML: the probability of each class, in a table, and what it is not."""
    cells = "".join(f'<tr><th scope="row">{escape(name)}</th><td>{value:.3f}</td></tr>'
                    for name, value in zip(classes, probability.tolist(), strict=True))
    return (f"<p>A probability is the network's own number, not a risk{escape(note)}.</p>"
            '<div class="numbers" tabindex="0" role="region" aria-label="Probability of each class"><table><thead><tr>'
            f'<th scope="col">Class</th><th scope="col">Probability</th></tr></thead><tbody>{cells}</tbody></table>'
            "</div>")


@contextmanager
def _table(path: Path, columns: Sequence[str]) -> Iterator[Any]:
    """A csv writer into a table that is there, whole, once the block has ended well."""
    with atomic(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        yield writer
