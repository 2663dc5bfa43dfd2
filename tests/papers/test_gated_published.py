"""What the published figures of the gated chapter say: the phantoms need crops, and the network finds them."""

import pytest

from mdlib.files import read_json
from mdlib.papers.gated import published
from mdlib.study import results, shipped


def value(table, label: str, measure: str = "accuracy", column: str = "value") -> float:
    return table[(table["label"] == label) & (table["measure"] == measure)][column].item()


@pytest.mark.parametrize("name", ["table1", "breast"])
def test_the_phantoms_are_told_apart_by_their_instances_and_not_by_a_thumbnail(name):
    table = published.read("evaluation", name)
    assert value(table, "crops at the true boxes") >= 0.95
    assert value(table, "thumbnail alone") <= 0.65
    assert value(table, published.COLOUR) <= 0.30


def test_the_gated_network_has_learned_from_its_crops_and_finds_the_heads():
    cards = [read_json(shipped.folder("gated") / name / "card.json") for name in ("gated", "gated-fusion-global")]
    ours, alone = (results.table(card["shipped"]["metrics"]).set_index("measure").loc["accuracy", "value"]
                   for card in cards)
    assert ours > 0.85 and ours - alone >= 0.2
    covered = published.read("coverage", "table2")
    for beyond in ("covered minus chance", "covered minus location prior"):
        assert value(covered, "gated attention", beyond, "low") > 0


def test_the_schedule_of_the_paper_costs_accuracy():
    table = published.read("evaluation", "schedule")
    label = "λ and rate of the paper"
    assert value(table, label, published.DIFFERENCE, "high") < 0 < value(table, label)


def test_on_real_blood_smears_the_network_tells_more_than_colour_and_finds_the_white_cells():
    table, covered = published.read("evaluation", "bccd"), published.read("coverage", "bccd")
    assert value(table, "gated attention", "macro AUROC", "low") > value(table, published.COLOUR, "macro AUROC")
    assert value(covered, "gated attention", "covered minus chance", "low") > 0
