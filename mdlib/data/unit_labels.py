"""What readers wrote about units of networks, and cases judged from such labels: files published with Wu et al.'s code.

    readers.json                            {"reader_1": {"unit_0003": "text", …}, "reader_2": …}, ResNet-152 layer4
    unit_labels_resnet152.txt               cleaned_unit_labels = {'unit_0003': 'label', …}, of a later study
    unit_labels_vgg16.json                  {"vgg16/conv5_3/unit_0169": ["answer", …], …}
    benchmark_responses.csv                 a reader's answer to each case, who saw nothing but labels of units
    explanations-benchmark-answer-key.csv   what the case is, and what the network said

Texts are for counting and comparing; they belong to the files and are not part of this project.
"""

import ast
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from mdlib.data.tables import Column, read_columns
from mdlib.errors import DataError

ANSWER, LIKELIHOOD, DIAGNOSIS = "Cancer or Benign (C/B)?", "DeepMiner Cancer Likelihood Prediction", "GT Diagnosis"
DIAGNOSES = ("MALIGNANT", "BENIGN", "BENIGN_WITHOUT_CALLBACK", "UNPROVEN")


def readers(folder: Path | str) -> pd.DataFrame:
    """The texts of readers.json: reader, unit (int), text; one row per reader and unit, in the order of the file.

    Raises DataError for a file that is missing or not of this layout.
    """
    file = Path(folder) / "readers.json"
    rows = [(reader, _unit(name, file), _text(text, f"{file}, {reader}, {name}"))
            for reader, texts in _mapping(_read(file, json.loads), str(file)).items()
            for name, text in _mapping(texts, f"{file}, {reader}").items()]
    return pd.DataFrame(rows, columns=["reader", "unit", "text"])


def labels(folder: Path | str) -> pd.DataFrame:
    """The labels of units of ResNet-152 and VGG-16: network, layer, unit (int), answer, text; one row per answer.

    answer: from 1; units of VGG-16 have up to 3. A unit that the file of ResNet-152 repeats with the same label has one
    row. Raises DataError for a file that is missing or not of this layout, and a unit with two labels there.
    """
    resnet, vgg = (Path(folder) / name for name in ("unit_labels_resnet152.txt", "unit_labels_vgg16.json"))
    cleaned = {}
    for name, text in _read(resnet, _assigned):
        if cleaned.setdefault(name, text) != text:
            raise DataError("two labels for one unit", f"{resnet}, {name}", "Remove one of them.")
    rows = [("resnet152", "layer4", _unit(name, resnet), 1, _text(text, f"{resnet}, {name}"))
            for name, text in cleaned.items()]
    for name, texts in _mapping(_read(vgg, json.loads), str(vgg)).items():
        network, layer, unit = name.split("/") if name.count("/") == 2 else ("", "", name)
        if not network or not isinstance(texts, list) or not texts:
            raise DataError("this is no network/layer/unit with a list of answers", f"{vgg}, {name}",
                            "Use the published file.")
        rows += [(network, layer, _unit(unit, vgg), number, _text(text, f"{vgg}, {name}"))
                 for number, text in enumerate(texts, start=1)]
    return pd.DataFrame(rows, columns=["network", "layer", "unit", "answer", "text"])


def benchmark(folder: Path | str) -> pd.DataFrame:
    """The cases that a reader judged from labels of units alone, one row per case; index `case`.

    shown: the labels, a tuple of text; reader (bool): whether the answer was cancer; likelihood: of cancer, by the
    network, in [0, 1]; diagnosis: one of DIAGNOSES; malignant (bool): whether it is "MALIGNANT". Raises DataError for
    a file that is missing or cut off, an unknown answer or diagnosis, a likelihood that is none, a case twice, and an
    answer to a case that the key does not hold.
    """
    responses, key = (Path(folder) / name for name in ("benchmark_responses.csv",
                                                       "explanations-benchmark-answer-key.csv"))
    answered = read_columns(responses, ("Case #", "DeepMiner Explanation", ANSWER))
    known = read_columns(key, ("Case #", LIKELIHOOD, DIAGNOSIS))
    diagnoses = replace(known[DIAGNOSIS], texts=[text.removeprefix("PATHOLOGY ") for text in known[DIAGNOSIS].texts])
    truth = pd.DataFrame({"likelihood": _shares(known[LIKELIHOOD]), "diagnosis": diagnoses.one_of(DIAGNOSES)},
                         index=_cases(known["Case #"]))
    table = pd.DataFrame({"shown": _lists(answered["DeepMiner Explanation"]),
                          "reader": [answer == "C" for answer in answered[ANSWER].one_of(("C", "B"))]},
                         index=_cases(answered["Case #"]))
    lost = ~table.index.isin(truth.index)
    if lost.any():
        raise answered["Case #"].wrong(int(lost.argmax()), f"case {table.index[lost][0]} is not in {key.name}",
                                       "Use the two files that belong together.")
    table = table.join(truth)
    return table.assign(malignant=table["diagnosis"] == "MALIGNANT")


def _cases(column: Column) -> pd.Index:
    cases = pd.Index(column.counts(), name="case")
    if cases.has_duplicates:
        row = int(cases.duplicated().argmax())
        raise column.wrong(row, f"case {cases[row]} for the second time", "Remove one of the rows.")
    return cases


def _shares(column: Column) -> list[float]:
    values = pd.to_numeric(pd.Series(column.texts), errors="coerce")
    wrong = ~values.between(0, 1)
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        raise column.wrong(row, f"{column.texts[row]!r} is no likelihood", "Use numbers from 0 to 1.")
    return values.tolist()


def _lists(column: Column) -> list[tuple[str, ...]]:
    return [_list(column, row) for row in range(len(column.texts))]


def _list(column: Column, row: int) -> tuple[str, ...]:
    try:
        found = ast.literal_eval(column.texts[row])
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        found = None
    if not isinstance(found, list) or not found or not all(isinstance(text, str) for text in found):
        raise column.wrong(row, f"{column.texts[row][:40]!r} is no list of labels", "Write ['first label', …].")
    return tuple(found)


def _read(file: Path, parse: Callable[[str], Any]) -> Any:
    """parse(text of the file), whose errors become a DataError."""
    try:
        return parse(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"the file cannot be read ({error.strerror})", str(file), "Check the path.") from None
    except (ValueError, SyntaxError, AttributeError, TypeError, MemoryError, RecursionError) as error:
        raise DataError(f"this holds no unit labels ({error})", str(file), "Use the published file.") from None


def _assigned(text: str) -> list[tuple[Any, Any]]:
    """The pairs of the one dict in Python source, of which nothing is executed."""
    (statement,) = ast.parse(text).body
    names, texts = statement.value.keys, statement.value.values
    return [(ast.literal_eval(name), ast.literal_eval(text)) for name, text in zip(names, texts, strict=True)]


def _mapping(found: Any, where: str) -> dict:
    if not isinstance(found, dict) or not found:
        raise DataError("this is no mapping of names", where, "Use the published file.")
    return found


def _unit(name: Any, file: Path) -> int:
    match = re.fullmatch(r"unit_(\d{1,9})", name) if isinstance(name, str) else None
    if match is None:
        raise DataError(f"{name!r} names no unit", str(file), "Write unit_ and its number, such as unit_0003.")
    return int(match[1])


def _text(text: Any, where: str) -> str:
    if not isinstance(text, str):
        raise DataError(f"{text!r} is no text", where, "Use the published file.")
    return text
