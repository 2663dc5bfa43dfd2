"""Words as numbers: there and back, with what is not known and what is too long."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from mdlib.data.vocabulary import END, PAD, UNKNOWN, Vocabulary, longer
from mdlib.errors import DataError, SettingsError

SENTENCES = ["mild crowding is seen", "no crowding", "mitosis is rare"]
VOCABULARY = Vocabulary.of(SENTENCES)


def test_ids_by_hand():
    assert VOCABULARY.words == ("crowding", "is", "mild", "mitosis", "no", "rare", "seen") and len(VOCABULARY) == 9
    ids = VOCABULARY.encode([*SENTENCES, "", "polarity is lost"], longest=4)
    assert ids.dtype == np.int64
    assert ids.tolist() == [[4, 2, 3, 8, END], [6, 2, END, PAD, PAD], [5, 3, 7, END, PAD], [END, PAD, PAD, PAD, PAD],
                            [UNKNOWN, 3, UNKNOWN, END, PAD]]
    assert [VOCABULARY.decode(row) for row in ids] == [*SENTENCES, "", "<unknown> is <unknown>"]
    assert VOCABULARY.unknown("polarity is lost") == ["polarity", "lost"]


def test_a_sentence_that_is_too_long_is_cut_and_ends_all_the_same():
    assert VOCABULARY.encode(SENTENCES, longest=3).tolist() == [[4, 2, 3, END], [6, 2, END, PAD], [5, 3, 7, END]]
    assert [longer(SENTENCES, longest) for longest in (1, 2, 3, 4)] == [3, 2, 1, 0]


def test_what_comes_after_the_end_is_not_read():
    assert VOCABULARY.decode([6, 2, END, 4, 99]) == VOCABULARY.decode([6, 2, PAD, 4]) == "no crowding"


def test_rare_words_are_left_out():
    assert Vocabulary.of(SENTENCES, fewest=2).words == ("crowding", "is")


@given(some.lists(some.lists(some.text("abc-", min_size=1, max_size=3), max_size=9), min_size=1, max_size=6),
       some.integers(1, 12))
def test_there_and_back_is_the_sentence_up_to_the_longest(words, longest):
    vocabulary = Vocabulary(("filler", *sorted({word for sentence in words for word in sentence})))
    ids = vocabulary.encode([" ".join(sentence) for sentence in words], longest)
    assert ids.shape == (len(words), longest + 1) and ((ids == END).sum(axis=1) == 1).all()
    assert [vocabulary.decode(row) for row in ids] == [" ".join(sentence[:longest]) for sentence in words]


@pytest.mark.parametrize("words", [(), ("a", "b", "a"), ("a", ""), ("a b",)])
def test_words_that_are_none_are_refused(words):
    with pytest.raises(DataError, match="vocabulary: "):
        Vocabulary(words)


def test_numbers_that_make_no_sense_are_refused():
    with pytest.raises(SettingsError, match="parameter longest"):
        VOCABULARY.encode(SENTENCES, 0)
    for number in (9, -2):
        with pytest.raises(DataError, match=f"{number} is no id of 9"):
            VOCABULARY.decode([2, number])
