"""The keyword mapper on phrases of which the BI-RADS group is known, and on published labels, here as counts only."""

from collections import Counter

import numpy as np
import pytest

from mdlib.data import unit_labels
from mdlib.evaluate import agreement, lexicon
from mdlib.evaluate.lexicon import FINDINGS, GROUPS, KEYWORDS, LEXICON, entangled, groups, table, terms


@pytest.mark.parametrize("text, expected", [
    ("an oval mass with spiculated margin", {("mass", ""), ("mass", "spiculated")}),
    ("spiculations", {("mass", "spiculated")}),
    ("MASSES, irregularly shaped, with blurred edges", {("mass", ""), ("mass", "irregular"), ("mass", "indistinct")}),
    ("massive", set()),
    ("clusters of MCs", {("calcification", ""), ("calcification", "grouped")}),
    ("microcalcs", {("calcification", "")}),
    ("suspicious pleomorphic calcifications",
     {("calcification", ""), ("calcification", "suspicious morphology"), ("calcification", "fine pleomorphic")}),
    ("calcifications, not suspicious", {("calcification", "")}),
    ("coarse calcifications", {("calcification", ""), ("calcification", "coarse")}),
    ("coarse heterogeneous calcifications", {("calcification", "")}),
    ("large benign calcification", {("calcification", ""), ("calcification", "typically benign")}),
    ("a large benign mass", {("mass", "")}),
    ("arterial calcification", {("calcification", ""), ("calcification", "vascular"), ("vessel", "")}),
    ("calcified vessels", {("calcification", ""), ("calcification", "vascular"), ("vessel", "")}),
    ("blood vessels\r\n\r\ncalcifications", {("calcification", ""), ("vessel", "")}),
    ("suspicious mass; calcifications", {("mass", ""), ("calcification", "")}),
    ("architectural distortion", {("architectural distortion", "")}),
    ("focal asymmetry", {("asymmetry", "")}),
    ("nipple retraction", {("associated features", "nipple retraction")}),
    ("skin thickening near the nipple", {("associated features", "skin thickening"), ("nipple", "")}),
    ("skin", {("skin", "")}),
    ("axillary adenopathy", {("associated features", "axillary adenopathy")}),
    ("intramammary lymph node", {("special case", "intramammary lymph node")}),
    ("dense breast tissue", {("breast composition", "")}),
    ("dense mass", {("mass", "")}),
    ("normal breast tissue", {("normal tissue", "")}),
    ("pectoral muscle, chest wall", {("background", "")}),
    ("edge of the breast", {("background", "")}),
    ("edge of a mass", {("mass", "")}),
    ("interface with normal tissue", {("background", "")}),
    ("N/A", set()), ("No", set()), ("", set())])
def test_a_phrase_names_what_it_names(text, expected):
    found = terms(text)
    assert set(found) == expected and len(found) == len(expected)
    assert groups(text) == {group for group, _ in expected} <= set(GROUPS)


def test_every_keyword_belongs_to_a_group_and_term_of_the_lexicon():
    for group, term, _ in KEYWORDS:
        named = {""} | LEXICON.get(group, {}).keys() | {name for of in LEXICON.get(group, {}).values() for name in of}
        assert group in GROUPS and term in named
    assert {group for group, _, _ in KEYWORDS} == set(GROUPS) and set(FINDINGS) < set(GROUPS)


def test_several_findings_in_one_unit_are_entangled_and_anatomy_beside_one_is_not():
    assert entangled(groups("microcalcifications inside a mass"))
    assert not entangled(groups("calcified vessels in dense tissue")) and not entangled(groups("normal breast tissue"))


def test_a_table_has_one_row_per_text():
    found = table(["mass with calcifications", "N/A"])
    assert list(found.columns) == [*GROUPS, "entangled"]
    assert found.sum().to_dict() == dict.fromkeys(found, 0) | {"mass": 1, "calcification": 1, "entangled": 1}
    assert not found.loc[1].any() and table([]).shape == (0, len(GROUPS) + 1)


@pytest.fixture(scope="module")
def labels(real_data):
    return unit_labels.labels(real_data / "ddsm_lists_and_findings")


def test_labels_of_resnet_units_are_in_the_groups_that_people_put_them_in(labels):
    """46 labels: normal tissue 12, calcifications 11 (7 of them vascular), masses, edges and spiculation 10, …"""
    texts = labels.loc[labels["network"] == "resnet152", "text"]
    assert Counter(groups(text) - {"vessel"} for text in texts) == {
        frozenset({"normal tissue"}): 12, frozenset({"calcification"}): 11, frozenset({"mass"}): 10,
        frozenset({"mass", "calcification"}): 7, frozenset({"background"}): 4, frozenset({"breast composition"}): 1,
        frozenset({"calcification", "breast composition"}): 1}
    vascular = [("calcification", "vascular") in terms(text) for text in texts]
    assert sum(vascular) == 7 and vascular == ["vessel" in groups(text) for text in texts]


def test_labels_of_vgg_units(labels):
    """By reading, of 17 units 10 are of masses with calcifications, one of calcifications in distorted tissue, 5 of one
    thing, and one is called "advanced cancers", which is no term of the lexicon."""
    found = labels[labels["network"] == "vgg16"].groupby("unit")["text"].agg(
        lambda texts: frozenset().union(*map(groups, texts)))
    assert Counter(map(frozenset(FINDINGS).intersection, found[found.map(entangled)])) == {
        frozenset({"mass", "calcification"}): 10, frozenset({"calcification", "architectural distortion"}): 1}
    assert (~found.map(entangled)).sum() == 6 and (~found.map(bool)).sum() == 1


def test_agreement_of_the_two_public_readers(real_data):
    """16 shared units. Keywords of `calcif` alone would miss "microcalcs" and slips of the pen: kappa .28, not .125."""
    texts = unit_labels.readers(real_data / "ddsm_lists_and_findings").pivot(index="unit", columns="reader",
                                                                            values="text").dropna()
    first, second = (list(map(groups, texts[reader])) for reader in ("reader_1", "reader_2"))
    shared = agreement.jaccard(first, second)
    assert len(shared) == 16 and (shared > 0).sum() == 11 and shared.mean() == pytest.approx(0.46875)
    found = agreement.binary_agreement(table(texts["reader_1"]), table(texts["reader_2"]))
    kappa = found[found["measure"] == "kappa"].set_index("term")["value"]
    assert kappa["mass"] == pytest.approx(0.2941, abs=5e-5) and kappa["calcification"] == 0.125
    assert np.isnan(kappa["asymmetry"])


def test_readers_see_no_finding_where_they_name_none(real_data):
    texts = unit_labels.readers(real_data / "ddsm_lists_and_findings").set_index(["reader", "unit"])["text"]
    named = texts.map(lexicon.groups).map(bool).groupby("reader").sum()
    assert named.to_dict() == {"reader_1": 16, "reader_2": 50}
