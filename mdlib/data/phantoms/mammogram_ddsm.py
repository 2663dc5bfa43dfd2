"""The text files of DDSM, written as its own tools write them: ICS for a case, OVERLAY for a film with findings.

The chain code of an outline (Heath et al. 2001, write_chaincode of the published tools): column and row of its first
pixel, then the direction to each next one, 0 up and on clockwise to 7 up and to the left, and #.
"""

from collections.abc import Iterable, Sequence

from mdlib.data.phantoms.drawing import Array
from mdlib.data.phantoms.mammogram_anatomy import HEIGHT, WIDTH
from mdlib.data.phantoms.mammogram_findings import Finding

DIRECTIONS = {(0, -1): 0, (1, -1): 1, (1, 0): 2, (1, 1): 3, (0, 1): 4, (-1, 1): 5, (-1, 0): 6, (-1, -1): 7}
# Of each kind: what DDSM calls it, and the assessment (BI-RADS).
KEYWORDS = {"spiculated mass": ("MASS SHAPE IRREGULAR MARGINS SPICULATED", 5),
            "grouped calcifications": ("CALCIFICATION TYPE PLEOMORPHIC DISTRIBUTION CLUSTERED", 4),
            "architectural distortion": ("MASS SHAPE ARCHITECTURAL_DISTORTION MARGINS SPICULATED", 4),
            "circumscribed mass": ("MASS SHAPE OVAL MARGINS CIRCUMSCRIBED", 3),
            "benign calcifications": ("CALCIFICATION TYPE COARSE-ROUND_AND_REGULAR DISTRIBUTION N/A", 2),
            "calcified vessel": ("CALCIFICATION TYPE VASCULAR DISTRIBUTION N/A", 2)}


def ics(case: str, age: int, density: int, films: Iterable[tuple[str, bool]]) -> str:
    """The ICS file of a case, as A-0001-1, with `films` as ("LEFT_CC", whether it has an OVERLAY)."""
    size = f"LINES {HEIGHT} PIXELS_PER_LINE {WIDTH} BITS_PER_PIXEL 8 RESOLUTION 750"
    lines = ["ics_version 1.0", f"filename {case}", "DATE_OF_STUDY 1 7 1995", f"PATIENT_AGE {age}", "FILM",
             "FILM_TYPE REGULAR", f"DENSITY {density}", "DATE_DIGITIZED 1 7 1997", "DIGITIZER LUMISYS LASER",
             "SEQUENCE",
             *(f"{film} {size} {'OVERLAY' if overlay else 'NON_OVERLAY'}" for film, overlay in films)]
    return "\n".join(lines) + "\n"


def overlay(findings: Sequence[Finding], contours: Sequence[Array]) -> str:
    """The OVERLAY file of a film: its findings, each with its contour (N, 2), columns and rows."""
    lines = [f"TOTAL_ABNORMALITIES {len(findings)}"]
    for number, (finding, contour) in enumerate(zip(findings, contours, strict=True), 1):
        words, assessment = KEYWORDS[finding.kind]
        lines += [f"ABNORMALITY {number}", f"LESION_TYPE {words}", f"ASSESSMENT {assessment}",
                  f"SUBTLETY {1 + int(4.99 * finding.strength)}",
                  f"PATHOLOGY {'MALIGNANT' if finding.malignant else 'BENIGN'}", "TOTAL_OUTLINES 1 ", "BOUNDARY",
                  chain_code(contour)]
    return "\n".join(lines) + "\n"


def chain_code(contour: Array) -> str:
    """A closed contour (N, 2) of neighbouring pixels, columns and rows, as DDSM writes it; the last step closes it."""
    pixels = [tuple(map(int, pixel)) for pixel in contour]
    steps = [DIRECTIONS[x - before_x, y - before_y]
             for (before_x, before_y), (x, y) in zip(pixels, [*pixels[1:], pixels[0]], strict=True)]
    return " ".join(map(str, (*pixels[0], *steps))) + " #"
