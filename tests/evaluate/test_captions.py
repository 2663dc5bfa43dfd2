import json
import math
import os
import re
import stat
from functools import cache

import numpy as np
import pytest
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.meteor.meteor import Meteor
from pycocoevalcap.rouge.rouge import Rouge

from mdlib.errors import DataError, SettingsError
from mdlib.evaluate import captions, meteor
from mdlib.evaluate.captions import METRICS, against_others, conclusion_of, scores

CLASSES = ("normal", "low grade", "high grade", "insufficient information")
GENERATED = ["the nuclei are round and round", "a b"]
REFERENCES = [["the nuclei are round", "nuclei are round and small now"], ["a b c"]]


@pytest.fixture(scope="module")
def reports(real_data):
    """200 images of the published bladder reports, five reports each."""
    entries = json.loads((real_data / "bladder_reports/bladder_reports.json").read_text())
    return [entries[row]["reports"] for row in np.random.default_rng(0).permutation(len(entries))[:200]]


@cache
def longest_common(a, b):
    """The definition of a longest common subsequence, on tuples of words."""
    if not a or not b:
        return 0
    if a[-1] == b[-1]:
        return longest_common(a[:-1], b[:-1]) + 1
    return max(longest_common(a[:-1], b), longest_common(a, b[:-1]))


def naive_rouge(text, references, beta=1.2):
    """Lin 2004, eq. 15 and 16, the best precision and the best recall over references."""
    words, others = tuple(text.split()), [tuple(reference.split()) for reference in references]
    lengths = [longest_common(words, other) for other in others]
    precision = max(length / len(words) for length in lengths)
    recall = max(length / len(other) for length, other in zip(lengths, others, strict=True))
    return (1 + beta ** 2) * precision * recall / (recall + beta ** 2 * precision) if precision * recall else 0.0


def put_java(folder, monkeypatch, answers):
    """A Java of our own on the PATH: notes its starts, knows its version, and then does what `answers` says."""
    program = folder / "java"
    program.write_text(f'#!/bin/sh\n[ "$1" = -version ] && exit 0\necho started $$ >> {folder}/starts\n{answers}\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder / "starts"


HALVES = """while read word rest; do
  if [ "$word" = SCORE ]; then echo 1 2; else echo 0.5; echo "$rest" | tr '|' '\\n' | sed -n 's/^ *1 2 *$/0.5/p'; fi
done"""


class TestScores:
    def test_bleu_is_counted_by_hand(self):
        """One image: 5 of 6 words and 4 of 5 pairs, and a reference as long as the text."""
        found = scores(GENERATED[:1], REFERENCES[:1], meteor=False)
        assert found["BLEU-1"] == pytest.approx(100 * 5 / 6)
        assert found["BLEU-2"] == pytest.approx(100 * math.sqrt(5 / 6 * 4 / 5))

    def test_bleu_counts_over_all_images_and_takes_off_for_brevity(self):
        """7 of 8 words, 5 of 6 pairs; 8 words where the nearest references have 6 + 3."""
        found = scores(GENERATED, REFERENCES, meteor=False)
        brevity = math.exp(1 - 9 / 8)
        assert found["BLEU-1"] == pytest.approx(100 * brevity * 7 / 8)
        assert found["BLEU-2"] == pytest.approx(100 * brevity * math.sqrt(7 / 8 * 5 / 6))

    def test_rouge_is_its_definition(self, reports):
        texts, others = [several[0] for several in reports[:40]], [several[1:] for several in reports[:40]]
        expected = [naive_rouge(text, references) for text, references in zip(texts, others, strict=True)]
        assert scores(texts, others, meteor=False)["ROUGE-L"] == pytest.approx(100 * np.mean(expected), abs=1e-10)

    def test_all_are_the_librarys_on_real_reports_in_any_language(self, reports, monkeypatch):
        """METEOR beside the published class; in German, whose numbers have commas, that one gets no answer."""
        truths, found = ({row: part for row, part in enumerate(parts)} for parts in (
            [several[1:] for several in reports], [[several[0]] for several in reports]))
        java = captions.java_found()
        bleu, rouge, cider, meteor = (judge.compute_score(truths, found)[0] if judge else math.nan for judge in (
            Bleu(4), Rouge(), Cider(), Meteor() if java else None))
        monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Duser.language=de -Duser.country=DE")
        ours = scores([several[0] for several in reports], [several[1:] for several in reports])
        expected = [*(100 * value for value in (*bleu, meteor, rouge)), cider]
        assert ours == pytest.approx(dict(zip(METRICS, expected, strict=True)), abs=1e-12, nan_ok=True)
        assert math.isnan(ours["METEOR"]) != java

    def test_identical_texts_reach_the_top(self):
        texts = ["the nuclei are round and small", "polarity is lost in all of it"]
        found = scores(texts, [[text] for text in texts], meteor=False)
        top = dict.fromkeys(METRICS, 100.0) | {"METEOR": math.nan, "CIDEr": 10.0}
        assert found == pytest.approx(top, abs=1e-5, nan_ok=True)

    def test_an_empty_text_scores_0_and_a_single_image_has_no_cider(self):
        found = scores([""], [["a b c d"]], meteor=False)
        assert [found[name] for name in METRICS if name != "METEOR"] == [0.0] * 6
        assert scores(["a b c d"], [["a b c d"]], meteor=False)["CIDEr"] == 0
        halved = scores(["", "a b c d"], [["e f g h"], ["a b c d"]], meteor=False)
        assert halved["ROUGE-L"] == 50 and halved["CIDEr"] == pytest.approx(5)

    def test_blanks_and_line_breaks_do_not_matter_and_nothing_is_printed(self, capfd):
        untidy = scores(["the  nuclei are\nround and round ", "a b"], REFERENCES, meteor=False)
        assert untidy == pytest.approx(scores(GENERATED, REFERENCES, meteor=False), nan_ok=True)
        assert capfd.readouterr() == ("", "")

    def test_wrong_input_is_named(self):
        with pytest.raises(SettingsError, match="2 texts, references of 1 images"):
            scores(GENERATED, REFERENCES[:1])
        with pytest.raises(SettingsError, match="a list of references"):
            scores(GENERATED, ["the nuclei", "a b"])
        with pytest.raises(SettingsError, match="0 texts"):
            scores([], [])
        with pytest.raises(DataError, match="image 1: no reference"):
            scores(GENERATED, [["a"], []])
        with pytest.raises(DataError, match="image 0: an empty reference"):
            scores(GENERATED, [["a", " "], ["b"]])
        with pytest.raises(DataError, match=re.escape("image 1: a reference has |||")):
            scores(GENERATED, [["a"], ["b ||| c"]])


class TestMeteor:
    def test_one_process_serves_all_rounds_and_is_gone_afterwards(self, tmp_path, monkeypatch):
        starts = put_java(tmp_path, monkeypatch, HALVES)
        found = against_others([["a b", "b c", "c d"], ["d e", "e f", "f g"]])
        assert found["METEOR"] == 50
        (_, process), = (line.split() for line in starts.read_text().splitlines())
        with pytest.raises(ProcessLookupError):
            os.kill(int(process), 0)

    def test_without_java_it_is_nan_and_says_so(self, tmp_path, monkeypatch):
        monkeypatch.setenv("PATH", str(tmp_path))
        assert not captions.java_found()
        found = scores(GENERATED, REFERENCES)
        assert math.isnan(found["METEOR"]) and captions.printed("METEOR", found["METEOR"]) == "needs Java"
        assert captions.printed("METEOR", 39.64) == "39.6" and captions.printed("CIDEr", 2.044) == "2.04"
        with pytest.raises(DataError, match=r"METEOR gave no score.*meteor=False"):
            scores(GENERATED, REFERENCES, meteor=True)

    def test_a_java_that_does_not_run_counts_as_none(self, tmp_path, monkeypatch):
        put_java(tmp_path, monkeypatch, "")
        (tmp_path / "java").write_text("#!/bin/sh\nexit 1\n")
        assert not captions.java_found()

    @pytest.mark.parametrize("answers, why", [
        ("echo no room for the heap >&2; exit 1", "no room for the heap"), ("exec sleep 60", "no answer within 0.3 s"),
        ("while read line; do echo 1 2; done", "no answer within 0.3 s"),
        ("while read line; do echo nonsense; done", "no answer within 0.3 s")])
    def test_a_jar_that_breaks_hangs_or_talks_nonsense_is_a_clear_error_at_once(self, answers, why, tmp_path,
                                                                                monkeypatch):
        starts = put_java(tmp_path, monkeypatch, answers)
        monkeypatch.setattr(meteor, "LIMIT", 0.3)
        with pytest.raises(DataError, match=f"{meteor.JAR.name}: METEOR gave no score .{why}"):
            scores(GENERATED, REFERENCES)
        with pytest.raises(ProcessLookupError):
            os.kill(int(starts.read_text().split()[1]), 0)

    def test_the_jar_of_the_library_is_there(self):
        assert meteor.JAR.is_file()


class TestAgainstOthers:
    def test_people_are_scored_one_by_one_against_the_rest(self, reports):
        few = reports[:30]
        rounds = [scores([several[left] for several in few],
                         [several[:left] + several[left + 1:] for several in few], meteor=False) for left in range(5)]
        expected = {name: np.mean([one[name] for one in rounds]) for name in METRICS}
        assert against_others(few, meteor=False) == pytest.approx(expected, nan_ok=True)

    def test_a_model_is_scored_against_the_same_sets(self, reports):
        few, texts = reports[:30], [several[0] for several in reports[30:60]]
        rounds = [scores(texts, [several[:left] + several[left + 1:] for several in few], meteor=False)
                  for left in range(5)]
        expected = {name: np.mean([one[name] for one in rounds]) for name in METRICS}
        assert against_others(few, texts, meteor=False) == pytest.approx(expected, nan_ok=True)
        five = scores(texts, few, meteor=False)
        assert against_others(few, texts, meteor=False)["BLEU-4"] < five["BLEU-4"]

    def test_several_writers_are_scored_as_each_alone_by_two_processes(self, tmp_path, monkeypatch):
        starts = put_java(tmp_path, monkeypatch, HALVES)
        people = [["a b", "b c d", "c d"], ["d e f g", "e f", "f g h"]]
        texts = {"people": None, "one": GENERATED, "other": GENERATED[::-1]}
        found = captions.each_against_others(people, texts)
        assert len(starts.read_text().splitlines()) == 2 and list(found) == list(texts)
        assert found == {name: against_others(people, text) for name, text in texts.items()}
        alone = {name: against_others(people, text, meteor=False) for name, text in texts.items()}
        for name, of in captions.each_against_others(people, texts, meteor=False).items():
            assert of == pytest.approx(alone[name], nan_ok=True)

    def test_images_need_equally_many_reports_two_or_more(self):
        with pytest.raises(DataError, match=re.escape("images have [1, 2] reports")):
            against_others([["a", "b"], ["c"]])
        with pytest.raises(DataError, match="two or more"):
            against_others([["a"], ["c"]])
        with pytest.raises(SettingsError, match="1 texts"):
            against_others([["a", "b"], ["c", "d"]], ["a"])


class TestConclusions:
    @pytest.mark.parametrize("text, expected", [
        ("nucleoli are prominent high grade", 2), ("normal", 0), ("insufficient information", 3), ("abnormal", -1),
        ("high grade it seems", -1), ("grade", -1), ("", -1), ("the urothelium is  low grade ", 1)])
    def test_the_last_words_decide(self, text, expected):
        assert conclusion_of(text, CLASSES) == expected

    def test_the_longest_name_that_fits_wins(self):
        assert conclusion_of("not very low grade", ["low grade", "very low grade", "grade"]) == 1

    def test_every_real_report_ends_in_a_class(self, reports):
        assert {conclusion_of(report, CLASSES) for several in reports for report in several} <= {0, 1, 2, 3}

    def test_right_is_an_ending_in_the_class_of_the_image(self):
        right = captions.correct_conclusions(["x normal", "low grade", "nothing", "high grade"], [0, 2, 1, 2], CLASSES)
        assert right.tolist() == [True, False, False, True]

    def test_targets_are_classes_one_for_each_text(self):
        with pytest.raises(SettingsError, match="2 texts, targets of shape"):
            captions.correct_conclusions(["normal", "normal"], [0], CLASSES)
        with pytest.raises(DataError, match="Classes are 0 to 3"):
            captions.correct_conclusions(["nothing"], [-1], CLASSES)
