"""What a trained network of chapter 2 says of volumes and pictures that are in no collection: tables, and pages.

    OUT/predictions.csv    a row a volume
    OUT/warnings.csv       a row a warning, and a row a volume that could not be read
    OUT/<volume>.html      its slices with their maps and the instances picked, the numbers, the warnings
    OUT/prediction.json    by which network, of which files
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mdlib.recipes import answers
from mdlib.recipes.answers import Page, cell, number
from mdlib.recipes.mims import card as cards
from mdlib.recipes.mims import report
from mdlib.recipes.mims.incoming import Seen, find, look
from mdlib.training import loop

SLICES = ("slices", "used", "slice", "file", "log_odds", "warnings")    # columns behind the classes


def predict(checkpoint: Path | str, paths: Iterable[Path | str], out: Path | str, device: str = "auto",
            given: Mapping[str, Any] | None = None, page: Page | None = None) -> dict[str, str]:
    """Write the tables and pages of these volumes (see `incoming.find`); return the failures: message by volume.

    The network is that of `checkpoint`, a file or its folder, with its card beside it. page(case, title, above) -> HTML
    makes the pages, None makes none: this layer shows nothing. A volume with a slice that cannot be read is a failure;
    the others go on. Each file is written whole or not at all, the tables last.

    Raises DataError for a checkpoint or card that cannot be used, SettingsError where there are no volumes, where
    anything is `given` (these networks see the pictures only), and where `out` holds anything but an earlier answer of
    the same network to the same files.
    """
    answers.refuse_given(given)
    card, out = cards.read(checkpoint), Path(out)
    volumes = find(paths, apart=not card.volumes)
    fabric = loop.start(device, precision=card.settings.precision)
    model, failures = cards.load(card).to(fabric.device), {}
    names = answers.names_of([volume.path for volume in volumes])
    answers.claim(out, card, [file for volume in volumes for file in volume.files], names, {})
    columns = ("volume", *map(cell, card.classes), *SLICES)
    with answers.tables(out, columns, failures) as (numbers, notes):
        for seen in answers.readable(volumes, names, lambda volume, name: look(card, volume, name), failures):
            answer = report.said(fabric, model, seen)
            numbers.writerow(row(seen, answer))
            notes.writerows((cell(seen.name), *warning) for warning in seen.warnings.items())
            if page:
                answers.write_page(out, seen.name, page(report.case(card, model, seen, answer),
                                                        answers.plain(seen.name), report.above(card, seen, answer)))
    return failures


def row(seen: Seen, answer: report.Said) -> list:
    """The row of a volume in predictions.csv; slices are counted from 1 in the whole volume."""
    return [cell(seen.name), *map(number, answer.probability), seen.count, len(seen.places),
            seen.places[answer.most][2] + 1, cell(report.where(seen, answer.most)), number(answer.log_odds),
            len(seen.warnings)]


def learned_from(checkpoint: Path | str) -> str:
    """A sentence or two about the network of a checkpoint: what it is, and what it was trained on."""
    return report.learned_from(cards.read(checkpoint))
