"""What is known of phantom images: their grades, and where the urothelium, each mitosis and each nucleolus lie."""

import numpy as np
import pandas as pd

from mdlib.data import images
from mdlib.data.phantoms import histology
from mdlib.data.phantoms.collection import is_phantom
from mdlib.recipes.mdnet.chapter import Chapter

KINDS = ("urothelium", "mitosis", "nucleoli")


def known(chapter: Chapter) -> bool:
    """Whether this run is about phantoms; of other images none of this is known."""
    return chapter.reports.truth is not None and is_phantom(chapter.data_dir)


def grades(chapter: Chapter) -> pd.DataFrame:
    """One row per image, in the collection's order: image, patient, one grade per part, rule, reported, urothelium.

    `rule` is the conclusion that follows from the grades, `reported` the one that the reports state; `urothelium` the
    share of the area. Grades are words, as in `histology.GRADES`, or `histology.UNSEEN`.
    """
    table = pd.read_csv(chapter.reports.truth / "grades.csv", dtype=str, keep_default_na=False)
    table = table.set_index("image").loc[chapter.reports.table["image"]].reset_index()
    return table.astype({"urothelium": float})


def mask(chapter: Chapter, row: int, kind: str) -> np.ndarray:
    """uint8 (H, W) at the size of the file: above 0 where one of KINDS lies, the number of each mitosis or nucleolus.

    `kind` is one of KINDS.
    """
    return images.read_grey(chapter.reports.truth / kind / chapter.reports.table["image"].iloc[row])


def drawn_without(chapter: Chapter, row: int, element: str) -> np.ndarray:
    """The image drawn again without its `mitosis` or `nucleoli`, uint8 (H, W, 3): all else is the same."""
    return histology.twin(chapter.data_dir, chapter.reports.table["image"].iloc[row], without=element)
