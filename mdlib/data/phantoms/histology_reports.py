"""What five imagined pathologists write of a phantom image, and which grade a sentence of theirs states.

    describe(grades, "low grade", writer=2, rng=rng)        # {"nuclear_feature": "the nuclei show mild ...", ...}
    expressed("mitosis", "no mitotic figures are found")    # "none"

The phrases are ours. Like those of real reports they are lower case and of three to twelve words, without punctuation,
and writers share some of them; each has two to four ways to state a grade.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from mdlib.data.reports import CLASSES

WRITERS = 5
UNSEEN = "cannot be assessed"       # the grade of every part where an image is not good enough
GRADES = {"nuclear_feature": ("mild", "moderate", "severe"),
          "nuclear_crowding": ("mild", "moderate", "severe"),
          "polarity": ("kept", "partly lost", "completely lost"),
          "mitosis": ("none", "infrequent", "frequent"),
          "nucleoli": ("inconspicuous", "mildly prominent", "prominent")}


class Phrase(NamedTuple):
    """A sentence with a gap, the words that state each grade in it, and the numbers of the writers who use it."""
    writers: str
    frame: str
    words: tuple[str, ...]


DEGREE, DEGREELY = ("mild", "moderate", "severe"), ("mildly", "moderately", "severely")
PHRASES = {
    "nuclear_feature": (
        Phrase("0124", "the nuclei show {} pleomorphism", DEGREE),
        Phrase("013", "the nuclei show {} variation in size and shape", DEGREE),
        Phrase("34", "{} pleomorphism of the nuclei is noted", DEGREE),
        Phrase("24", "size and shape of the nuclei vary {}", ("slightly", "moderately", "strongly"))),
    "nuclear_crowding": (
        Phrase("0134", "nuclear crowding is {}", DEGREE),
        Phrase("024", "{} nuclear crowding is noted", DEGREE),
        Phrase("12", "the nuclei lie {} crowded within the urothelium", DEGREELY),
        Phrase("34", "crowding of the nuclei is {} throughout the urothelium", DEGREE)),
    "polarity": (
        Phrase("0123", "polarity of the cells is {}", ("kept", "partly lost", "completely lost")),
        Phrase("034", "the cells {} polarity toward the base",
               ("keep their", "have partly lost their", "have completely lost their")),
        Phrase("12", "the urothelium shows {} loss of polarity", ("no", "partial", "complete")),
        Phrase("4", "with regard to polarity {} of the urothelium is seen",
               ("no disorder", "partial disorder", "complete disorder"))),
    "mitosis": (
        Phrase("0134", "mitotic figures are {} in the urothelium", ("absent", "infrequent", "frequent")),
        Phrase("012", "{} mitotic figures are found", ("no", "infrequent", "frequent")),
        Phrase("23", "mitosis of the cells is {}", ("absent", "infrequent", "frequent")),
        Phrase("4", "dividing cells {} in this field", ("are not seen", "are few", "are many"))),
    "nucleoli": (
        Phrase("0124", "the nucleoli are {}", GRADES["nucleoli"]),
        Phrase("023", "the nuclei contain {} nucleoli", GRADES["nucleoli"]),
        Phrase("134", "{} nucleoli are seen in the nuclei", GRADES["nucleoli"])),
    "conclusion": (
        Phrase("01234", "{}", CLASSES),
        Phrase("13", "overall {}", CLASSES),
        Phrase("4", "in summary {}", CLASSES)),
}
SUBJECTS = {"nuclear_feature": "nuclear pleomorphism", "nuclear_crowding": "nuclear crowding", "polarity": "polarity",
            "mitosis": "mitotic activity", "nucleoli": "the nucleoli"}
UNSEEN_FRAMES = (("0124", "{} cannot be assessed"), ("013", "{} cannot be judged in this image"),
                 ("23", "no statement on {} is possible"), ("4", "the image does not allow to judge {}"))

# What a sentence must speak of, and what states each grade in it.
SPEAKS_OF = {"nuclear_feature": r"pleomorphi|variation|\bvary\b", "nuclear_crowding": "crowd", "polarity": "polarity",
             "mitosis": "mitosis|mitotic|dividing", "nucleoli": "nucleoli"}
STATES_UNSEEN = r"\bcannot\b|\bno statement\b|\bnot allow\b"
STATES_DEGREE = (r"\bmild(ly)?\b|\bslightly\b", r"\bmoderate(ly)?\b", r"\bsevere(ly)?\b|\bstrongly\b")
STATES = {"nuclear_feature": STATES_DEGREE,
          "nuclear_crowding": STATES_DEGREE,
          "polarity": (r"\b(kept|keep|no loss|no disorder)\b", r"\b(partly|partial)\b", r"\b(completely|complete)\b"),
          "mitosis": (r"\b(absent|no mitotic|not seen)\b", r"\b(infrequent|few)\b", r"\b(frequent|many)\b"),
          "nucleoli": (r"\binconspicuous\b", r"\bmildly prominent\b", r"(?<!\bmildly )\bprominent\b")}


def describe(grades: Mapping[str, str], conclusion: str, writer: int, rng: np.random.Generator) -> dict[str, str]:
    """A report by a writer (0 to 4): for each part a sentence that states its grade, for the conclusion its class.

    A grade is one of GRADES or UNSEEN; each phrase that the writer uses for it is as likely as any other.
    """
    stated = {**grades, "conclusion": conclusion}
    return {part: str(rng.choice(ways(part, grade, writer))) for part, grade in stated.items()}


def ways(part: str, grade: str, writer: int) -> list[str]:
    """Every sentence with which a writer states a grade of a part, or a conclusion."""
    if grade == UNSEEN:
        return [frame.format(SUBJECTS[part]) for writers, frame in UNSEEN_FRAMES if str(writer) in writers]
    number = (CLASSES if part == "conclusion" else GRADES[part]).index(grade)
    return [phrase.frame.format(phrase.words[number]) for phrase in PHRASES[part] if str(writer) in phrase.writers]


def expressed(part: str, sentence: str) -> str | None:
    """The grade that a sentence, whoever wrote it, states of a part (UNSEEN too), or the conclusion it ends in.

    None where it speaks of something else, states nothing, or states two grades at once.
    """
    if part == "conclusion":
        return next((name for name in CLASSES if f" {sentence}".endswith(f" {name}")), None)
    if not re.search(SPEAKS_OF[part], sentence):
        return None
    found = [grade for grade, pattern in zip((*GRADES[part], UNSEEN), (*STATES[part], STATES_UNSEEN), strict=True)
             if re.search(pattern, sentence)]
    return found[0] if len(found) == 1 else None
