"""What a trained network of chapter 5 writes about images that are in no collection: tables, and a page an image.

    OUT/predictions.csv    a row an image
    OUT/warnings.csv       a row a warning, and a row an image that could not be read
    OUT/<image>.html       the image with its report, the attention of each word, the class attention, the warnings
    OUT/prediction.json    by which network, of which files
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mdlib.recipes import answers
from mdlib.recipes.answers import Page, cell, number
from mdlib.recipes.mdnet import card as cards
from mdlib.recipes.mdnet import report
from mdlib.recipes.mdnet.incoming import Seen, look
from mdlib.training import loop

BATCH = 8           # images a step


def predict(checkpoint: Path | str, paths: Iterable[Path | str], out: Path | str, device: str = "auto",
            given: Mapping[str, Any] | None = None, page: Page | None = None) -> dict[str, str]:
    """Write the tables and pages of these images (files, or folders of them); return the failures: message by image.

    The network is that of `checkpoint`, a file or its folder, with its card beside it. page(case, title, above) -> HTML
    makes the pages, None makes none: this layer shows nothing. An image that cannot be read is a failure; the others go
    on. Each file is written whole or not at all, the tables last.

    Raises DataError for a checkpoint or card that cannot be used, SettingsError where there are no images, where
    anything is `given` (these networks see the pictures only), and where `out` holds anything but an earlier answer of
    the same network to the same files.
    """
    answers.refuse_given(given)
    card, out, files = cards.read(checkpoint), Path(out), answers.find(paths)
    fabric = loop.start(device, precision=card.settings.precision)
    model, names, failures = cards.load(card).to(fabric.device), answers.names_of(files), {}
    answers.claim(out, card, files, names, {})
    with answers.tables(out, columns(card), failures) as (numbers, notes):
        images = answers.readable(files, names, lambda file, name: look(card, file, name), failures)
        for batch in answers.batches(images, BATCH):
            for seen, answer in zip(batch, report.said(fabric, card, model, batch), strict=True):
                numbers.writerow(row(seen, answer))
                notes.writerows((cell(seen.name), *told) for told in (seen.warnings | answer.warnings).items())
                if page:
                    answers.write_page(out, seen.name, page(report.case(card, seen, answer), answers.plain(seen.name),
                                                            report.above(card, seen, answer)))
    return failures


def columns(card: cards.Card) -> tuple[str, ...]:
    """The columns of predictions.csv: `guess` and the probabilities are of the image model, the others of the report.

    stated: the class that the report ends in; agree: whether it is the guess, 1 or 0, empty where none is stated.
    """
    return ("image", "guess", *map(cell, card.classes), "stated", "agree", *map(cell, card.columns), "log_probability",
            "warnings")


def row(seen: Seen, answer: report.Said) -> list:
    """The row of an image in predictions.csv."""
    return [cell(seen.name), cell(answer.guess), *map(number, answer.probability), answer.stated,
            int(answer.guess == answer.stated) if answer.stated else "", *map(cell, answer.sentences),
            number(answer.log_probability), len(seen.warnings) + len(answer.warnings)]


def learned_from(checkpoint: Path | str) -> str:
    """A sentence or two about the network of a checkpoint: what it is, and what it was trained on."""
    return report.learned_from(cards.read(checkpoint))
