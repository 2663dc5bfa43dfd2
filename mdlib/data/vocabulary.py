"""Words as numbers and back: what the language model reads and writes."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mdlib.errors import DataError, SettingsError

PAD, END, UNKNOWN = -1, 0, 1    # PAD is no id of the network: what stands there has no loss
FIRST = 2                       # the id of the first word


@dataclass(frozen=True)
class Vocabulary:
    """The words that a language model knows; ids: END = 0, UNKNOWN = 1, then the words in order.

    Sentences are words with one space between (`reports.plain`). Raises DataError for no word, one that occurs twice
    and one that is empty or has a space.
    """

    words: tuple[str, ...]

    def __post_init__(self):
        wrong = [word for word, count in Counter(self.words).items() if count > 1 or word.split() != [word]]
        if wrong or not self.words:
            raise DataError(f"{wrong[0]!r} is no word or occurs twice" if wrong else "there is no word", "vocabulary",
                            "Make it from sentences (Vocabulary.of).")

    @classmethod
    def of(cls, sentences: Iterable[str], fewest: int = 1) -> "Vocabulary":
        """The words that occur at least `fewest` times in the sentences, sorted."""
        counts = Counter(word for sentence in sentences for word in sentence.split())
        return cls(tuple(sorted(word for word, count in counts.items() if count >= fewest)))

    def __len__(self) -> int:
        """The number of ids, END and UNKNOWN among them."""
        return FIRST + len(self.words)

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.words, start=FIRST)}

    def encode(self, sentences: Sequence[str], longest: int) -> np.ndarray:
        """int64 (N, longest + 1): the ids of a sentence's words, END, then PAD.

        A word that is not known is UNKNOWN. Of a sentence of more than `longest` words the rest is cut off, and END
        follows all the same: `longer` says how many such there are. Raises SettingsError for `longest` below 1.
        """
        if longest < 1:
            raise SettingsError(f"{longest} is no number of words", "parameter longest", "Give 1 or more.")
        ids = np.full((len(sentences), longest + 1), PAD, dtype=np.int64)
        for row, sentence in zip(ids, sentences, strict=True):
            words = [self._ids.get(word, UNKNOWN) for word in sentence.split()[:longest]]
            row[:len(words) + 1] = [*words, END]
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """The sentence of these ids up to END or PAD, "<unknown>" for UNKNOWN. Raises DataError for other numbers."""
        words = []
        for number in map(int, ids):
            if number in (END, PAD):
                break
            if not 0 < number < len(self):
                raise DataError(f"{number} is no id of {len(self):,}", "parameter ids", "Use the model's vocabulary.")
            words.append("<unknown>" if number == UNKNOWN else self.words[number - FIRST])
        return " ".join(words)

    def unknown(self, sentence: str) -> list[str]:
        """The words of a sentence that are not known, in order."""
        return [word for word in sentence.split() if word not in self._ids]


def longer(sentences: Iterable[str], longest: int) -> int:
    """How many sentences have more than `longest` words."""
    return sum(len(sentence.split()) > longest for sentence in sentences)
