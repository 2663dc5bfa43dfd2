"""Scores of generated reports: the usual captioning metrics, and whether the conclusion is right.

BLEU, METEOR, ROUGE-L and CIDEr are those of pycocoevalcap (extra `captions`), the library behind the tables of the
literature. Texts are lower case words separated by blanks and are scored as they are: its tokenizer, made for written
English, is not run. Properties that follow from the definitions:

- BLEU and METEOR are computed over all images together; ROUGE-L and CIDEr are means over images.
- CIDEr weights a phrase by how rare it is in the references of the images, so it depends on the set of images, and is
  0 for a single one.
- More references can only raise a score: compare scores against equally many references (`against_others`).
- A generated text without words scores 0 for its image.
- METEOR is a Java program. Without Java it is NaN, and `printed` says so.
"""

import math
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import TYPE_CHECKING

import numpy as np

from mdlib.errors import DataError, SettingsError
from mdlib.extras import require

if TYPE_CHECKING:
    from mdlib.evaluate.meteor import Meteor

METRICS = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "METEOR", "ROUGE-L", "CIDEr")  # the columns of Table 2


def scores(generated: Sequence[str], references: Sequence[Sequence[str]], *,
           meteor: bool | None = None) -> dict[str, float]:
    """Each of METRICS over all images (Zhang et al., Table 2): in percent, CIDEr as it is (identical texts reach 10).

    generated (N,): one text per image; references (N, any number): texts by people. meteor: whether to compute METEOR,
    otherwise NaN; None: if Java is found. Raises SettingsError for other lengths, DataError for an image without
    references, an empty reference, or a METEOR that does not answer, MissingExtraError without pycocoevalcap.
    """
    return _averaged({"": [_checked(generated, references)]}, meteor)[""]


def against_others(reports: Sequence[Sequence[str]], generated: Sequence[str] | None = None, *,
                   meteor: bool | None = None) -> dict[str, float]:
    """Agreement of people: one of the R reports of each image against its other R - 1 (ours); keys as `scores`.

    The mean over which one is left out. With `generated` (N,): those texts against the same sets of R - 1 reports,
    averaged in the same way, so that people and model are scored against equally many references. Raises DataError
    unless every image has the same number of reports, two or more.
    """
    return each_against_others(reports, {"": generated}, meteor=meteor)[""]


def each_against_others(reports: Sequence[Sequence[str]], generated: Mapping[str, Sequence[str] | None], *,
                        meteor: bool | None = None) -> dict[str, dict[str, float]]:
    """`against_others` for the texts of several networks, by name; METEOR, slow to start, is started twice at most."""
    counts = {len(several) for several in reports}
    if len(counts) != 1 or min(counts) < 2:
        raise DataError(f"images have {sorted(counts)} reports", "parameter reports",
                        "Leaving one out needs equally many for every image, two or more.")
    rounds = {name: [_checked([several[left] for several in reports] if texts is None else texts,
                              [[*several[:left], *several[left + 1:]] for several in reports])
                     for left in range(min(counts))] for name, texts in generated.items()}
    return _averaged(rounds, meteor)


def printed(name: str, value: float) -> str:
    """A score as Table 2 prints it: one decimal, CIDEr two; METEOR that was not computed `needs Java`."""
    if name == "METEOR" and math.isnan(value):
        return "needs Java"
    return f"{value:.2f}" if name == "CIDEr" else f"{value:.1f}"


def java_found() -> bool:
    """Whether the PATH has a Java that runs; the one macOS comes with only asks for another to be installed."""
    try:
        return subprocess.run(["java", "-version"], capture_output=True, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def conclusion_of(text: str, classes: Sequence[str]) -> int:
    """Index of the class whose name ends the text, by whole words, the longest that matches; -1 for none."""
    words = text.split()
    names = [name.split() for name in classes]
    fitting = [k for k, name in enumerate(names) if name and words[-len(name):] == name]
    return max(fitting, key=lambda k: len(names[k]), default=-1)


def correct_conclusions(generated: Sequence[str], targets: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """Whether each text (N,) ends in the class of its image, bool (N,). targets (N,): class ids.

    Texts may be whole reports or conclusions alone. The mean is the DCA of section 5.2.2.
    """
    targets = np.asarray(targets)
    if targets.shape != (len(generated),):
        raise SettingsError(f"{len(generated)} texts, targets of shape {targets.shape}",
                            "parameters generated, targets", "Give each text the class of its image.")
    if ((targets < 0) | (targets >= len(classes))).any():
        raise DataError(f"targets from {targets.min()} to {targets.max()}", "parameter targets",
                        f"Classes are 0 to {len(classes) - 1}.")
    return np.array([conclusion_of(text, classes) for text in generated], int) == targets


def _checked(generated: Sequence[str], references: Sequence[Sequence[str]]) -> tuple[list[str], list[list[str]]]:
    """Both with single blanks between words and no line breaks, which the METEOR process would take for a command."""
    if len(generated) != len(references) or not len(generated) or any(isinstance(r, str) for r in references):
        raise SettingsError(f"{len(generated)} texts, references of {len(references)} images", "generated, references",
                            "Give a text and a list of references for each image, of one image or more.")
    texts = [" ".join(text.split()) for text in generated]
    truths = [[" ".join(text.split()) for text in several] for several in references]
    for row, several in enumerate(truths):
        if not several or not all(several):
            raise DataError("no reference" if not several else "an empty reference", f"image {row}",
                            "Give each image one report or more, each of one word or more.")
        if any("|||" in text for text in several):
            raise DataError("a reference has |||", f"image {row}", "METEOR separates texts by it; take it out.")
    return texts, truths


def _averaged(rounds: Mapping[str, Sequence[tuple[list[str], list[list[str]]]]],
              meteor: bool | None) -> dict[str, dict[str, float]]:
    """By name, the means over rounds of (texts, references) of each of METRICS.

    Two METEOR processes share the names: each uses one core, and takes longer than all other scores together.
    """
    wanted = java_found() if meteor is None else meteor

    def of(names: Sequence[str]) -> dict[str, np.ndarray]:
        with require("mdlib.evaluate.meteor", "captions").Meteor() if wanted else nullcontext() as judge:
            return {name: np.mean([_scores(*one, judge) for one in rounds[name]], axis=0) for name in names}
    many = min(2, len(rounds)) if wanted else 1
    with ThreadPoolExecutor(many) as threads:
        shares = [list(rounds)[k::many] for k in range(many)]
        found = {name: means for share in threads.map(of, shares) for name, means in share.items()}
    return {name: dict(zip(METRICS, found[name].tolist(), strict=True)) for name in rounds}


def _scores(texts: list[str], references: list[list[str]], judge: "Meteor | None") -> list[float]:
    """METRICS in their order, from the library, which prints nothing at verbose=0."""
    truths, found = dict(enumerate(references)), {row: [text] for row, text in enumerate(texts)}
    library = {name: require(f"pycocoevalcap.{name}.{name}", "captions") for name in ("bleu", "rouge", "cider")}
    bleu, _ = library["bleu"].Bleu(4).compute_score(truths, found, verbose=0)
    meteor = math.nan if judge is None else judge.compute_score(truths, found)[0]
    rouge, _ = library["rouge"].Rouge().compute_score(truths, found)
    cider, _ = library["cider"].Cider().compute_score(truths, found)
    return [*(100 * share for share in (*bleu, meteor, rouge)), float(cider)]
