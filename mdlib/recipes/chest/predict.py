"""What a trained network says of images that are in no collection: tables, and a page an image.

    OUT/predictions.csv    a row an image and class
    OUT/warnings.csv       a row a warning, and a row an image that could not be read
    OUT/<image>.html       the image with its maps, the table, the warnings
    OUT/prediction.json    by which network, of which files
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mdlib.recipes import answers
from mdlib.recipes.answers import Page, cell, number
from mdlib.recipes.chest import card as cards
from mdlib.recipes.chest import report, viewing
from mdlib.recipes.chest.incoming import Beside, Seen, batch_of, look
from mdlib.training import loop

BATCH = 8           # images a step, with their maps
PREDICTIONS = ("image", "class", "probability", "threshold", "above", "sensitivity", "specificity", "positives",
               "negatives", "warnings")


def predict(checkpoint: Path | str, paths: Iterable[Path | str], out: Path | str, device: str = "auto",
            given: Mapping[str, Any] | None = None, page: Page | None = None) -> dict[str, str]:
    """Write the tables and pages of these images (files, or folders of them); return the failures: message by image.

    The network is that of `checkpoint`, a file or its folder, with its card beside it. given: fields of `Beside` that
    hold for all files that do not tell them. page(case, title, above) -> HTML makes the pages, None makes none: this
    layer shows nothing. An image that cannot be read is a failure; the others go on. Each file is written whole or not
    at all, the tables last. Images of one name in different folders keep their folders below the one that they share.

    Raises DataError for a checkpoint or card that cannot be used, SettingsError where there are no images, and where
    `out` holds anything but an earlier answer of the same network to the same files.
    """
    card, out, files, beside = cards.read(checkpoint), Path(out), answers.find(paths), Beside(**given or {})
    fabric = loop.start(device, precision=card.settings.precision)
    model, names, failures = cards.load(card).to(fabric.device), answers.names_of(files), {}
    answers.claim(out, card, files, names, beside._asdict())
    with answers.tables(out, PREDICTIONS, failures) as (numbers, notes):
        images = answers.readable(files, names, lambda file, name: look(card, file, name, beside), failures)
        for seen in answers.batches(images, BATCH):
            batch = batch_of(card, seen)
            probability = report.probabilities(fabric, model, batch)
            for one, values in zip(seen, probability, strict=True):
                numbers.writerows(rows(card, one, values))
                notes.writerows((cell(one.name), *warning) for warning in one.warnings.items())
            if page:
                maps = viewing.maps_of(model, card.training.network, batch)[:2]
                _write_pages(out, card, seen, probability, maps, page)
    return failures


def learned_from(checkpoint: Path | str) -> str:
    """A sentence or two about the network of a checkpoint: what it is, and what it was trained on."""
    return report.learned_from(cards.read(checkpoint))


def _write_pages(out: Path, card: cards.Card, images_seen: Sequence[Seen], probability: np.ndarray,
                 maps: tuple[dict, dict], page: Page) -> None:
    for i, seen in enumerate(images_seen):
        values, signal = ({method: of[i] for method, of in part.items()} for part in maps)
        answers.write_page(out, seen.name, page(
            report.case(card, seen, probability[i], values, signal), answers.plain(seen.name),
            report.above(card, seen, probability[i])))


def rows(card: cards.Card, seen: Seen, probability: np.ndarray) -> Iterator[list]:
    """The rows of one image in predictions.csv, a class each; what is not known is left empty."""
    for value, point in zip(probability.tolist(), card.operating_points.itertuples(), strict=True):
        above = "" if np.isnan(point.threshold) else int(value >= point.threshold)
        yield [cell(seen.name), point.Index, number(value), number(point.threshold), above,
               number(point.sensitivity), number(point.specificity), int(point.positives), int(point.negatives),
               len(seen.warnings)]


