"""Small cases with reports, and a small search, for the tests of both."""

import numpy as np

from mdlib.widgets.records import Case
from mdlib.widgets.search import Picture, Query

GRADES = ("normal", "low grade", "high grade", "insufficient information")
SENTENCES = (
    ("nuclear feature", "moderate pleomorphism is seen in the nuclei"),
    ("nuclear crowding", "severe crowding of the nuclei"),
    ("polarity", "polarity along the basement membrane is negligibly lost"),
    ("mitosis", "mitosis is rare throughout the tissue"),
    ("nucleoli", "nucleoli are mostly inconspicuous"),
    ("conclusion", "low grade"),
)
REPORT = tuple((name, tuple(sentence.split())) for name, sentence in SENTENCES)
WORDS = sum(len(words) for _, words in REPORT)


def spot(places: int, row: int, column: int, width: float) -> np.ndarray:
    """A map of `places` squared with the sum 1 around one of them."""
    y, x = np.mgrid[:places, :places]
    values = np.exp(-((y - row) ** 2 + (x - column) ** 2) / 2 / width**2)
    return values / values.sum()


def looks(width: float, words: int = WORDS, places: int = 8) -> np.ndarray:
    """A map a word, each around another place."""
    return np.stack([spot(places, (i // places) % places, i % places, width) for i in range(words)])


def make_report(**changes) -> Case:
    """Pink tissue of low grade with a report of six parts, looked at by two mechanisms: the second less sharply."""
    values = {
        "image": np.broadcast_to(np.uint8([200, 160, 190]), (64, 64, 3)).copy(),
        "classes": GRADES,
        "probability": np.array([0.1, 0.7, 0.15, 0.05]),
        "truth": np.array([0, 1, 0, 0]),
        "maps": {"c of AAS": np.stack([spot(8, k, k, 1.5) for k in range(4)])},
        "name": "phantom 7, image 2",
        "alt": "bladder tissue",
        "report": REPORT,
        "attention": {"AAS": looks(0.8), "without AAS": looks(2)},
        "correct": (True, False, None, True, True, True),
        "reference": ("moderate nuclear pleomorphism", "mild crowding is present", "", "", "", "low grade carcinoma"),
    }
    return Case(**(values | changes))


def make_pictures(count: int = 24) -> list[Picture]:
    """Flat pictures of growing brightness; every fourth has the same label."""
    return [
        Picture(np.full((64, 64, 3), 10 * i, np.uint8), f"image {i}", GRADES[i % 4]) for i in range(count)
    ]


def make_queries() -> list[Query]:
    """Two descriptions: the first finds high grade in 2 of 5 places and 4 of 10."""
    ranking = [2, 0, 6, 1, 3, 10, 4, 5, 7, 14]
    return [
        Query("severe pleomorphism, crowded nuclei and frequent mitosis", "high grade", ranking, -np.arange(10.0)),
        Query("nuclei are uniform, polarity is kept", "normal", range(0, 24, 2), np.linspace(0.9, 0.1, 12)),
    ]
