"""A case of DDSM in its published layout, for tests: two films, of which one shows a mass with calcifications."""

from pathlib import Path

import numpy as np
from PIL import Image

from mdlib.data.ddsm_overlays import STEPS

HEIGHT, WIDTH = 60, 40
BOX = (10, 20, 18, 26)          # column and row of the first and the last pixel of the finding
STEM, FILM = "A_0001_1.LEFT_CC", "cancer_01-A_0001_1.LEFT_CC"
ICS = """ics_version 1.0
filename A-0001-1
DATE_OF_STUDY 2 7 1994
PATIENT_AGE 42
DENSITY 3
DIGITIZER LUMISYS LASER
SEQUENCE
LEFT_CC LINES 60 PIXELS_PER_LINE 40 BITS_PER_PIXEL 12 RESOLUTION 50 OVERLAY
RIGHT_MLO LINES 60 PIXELS_PER_LINE 40 BITS_PER_PIXEL 12 RESOLUTION 50 NON_OVERLAY
"""


def chain(left: int, top: int, right: int, bottom: int) -> str:
    """The chain code along the pixels at the edge of a box, clockwise from its top left corner."""
    steps = [2] * (right - left) + [4] * (bottom - top) + [6] * (right - left) + [0] * (bottom - top)
    return f"{left} {top} {' '.join(map(str, steps))} #"


def points(left: int, top: int, steps: list[int]) -> np.ndarray:
    """The pixels of a chain code, one step after another."""
    found = [(left, top)]
    for step in steps:
        found.append((found[-1][0] + int(STEPS[step][0]), found[-1][1] + int(STEPS[step][1])))
    return np.array(found)


OVERLAY = f"""TOTAL_ABNORMALITIES 2
ABNORMALITY 1
LESION_TYPE CALCIFICATION TYPE PLEOMORPHIC DISTRIBUTION CLUSTERED
LESION_TYPE MASS SHAPE IRREGULAR-ARCHITECTURAL_DISTORTION MARGINS SPICULATED
ASSESSMENT 5
SUBTLETY 4
PATHOLOGY MALIGNANT
TOTAL_OUTLINES 2
BOUNDARY
{chain(*BOX)}
\tCORE
{chain(12, 22, 14, 24)}
ABNORMALITY 2
LESION_TYPE MASS SHAPE OVAL MARGINS CIRCUMSCRIBED
ASSESSMENT 2
SUBTLETY 5
PATHOLOGY BENIGN_WITHOUT_CALLBACK
TOTAL_OUTLINES 1
BOUNDARY
{chain(30, 50, 33, 53)}
"""


def write_case(folder: Path, case: str = "cases/cancers/cancer_01/case0001", exam: str = "A_0001_1",
               size: tuple[int, int] = (HEIGHT, WIDTH)) -> Path:
    """Write a case, its films as PNG of `size`; return its folder."""
    home = folder / case
    home.mkdir(parents=True)
    (home / f"{exam.replace('_', '-')}.ics").write_text(ICS)
    (home / f"{exam}.LEFT_CC.OVERLAY").write_text(OVERLAY)
    grey = np.arange(size[0] * size[1]).reshape(size) % 256
    for sequence in ("LEFT_CC", "RIGHT_MLO"):
        Image.fromarray(grey.astype(np.uint8)).save(home / f"{exam}.{sequence}.png")
    return home
