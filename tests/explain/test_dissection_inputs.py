"""What is asked of a dissection, how it is saved, and what is refused."""

import numpy as np
import pytest
import torch
from dissection_examples import CONCEPTS, Given, batches, example
from torch import nn

from mdlib.errors import DataError, SettingsError
from mdlib.explain.dissection import dissect
from mdlib.explain.dissection_result import Dissection


def test_a_table_has_one_row_per_unit_and_concept():
    maps, masks = example()
    found = dissect(Given(), "maps", batches(maps, 20), masks, CONCEPTS, groups=np.arange(60) // 6, k=1)
    table = found.table("maximum")
    assert len(table) == 6 * 4 and table["unit"].tolist() == [unit for unit in range(6) for _ in CONCEPTS]
    one = found.table("maximum", "vessel")
    assert np.array_equal(one["iou"], found.iou("maximum")[:, 1]) and (one["concept"] == "vessel").all()
    known = table[table["concept"] != "nothing"]
    assert (known["iou"] <= known["bound"]).all() and (known["null"] <= known["null 95 %"]).all()


def test_a_dissection_is_read_as_it_was_saved(tmp_path):
    maps, masks = example()
    for groups in (None, np.arange(60) // 6):
        found = dissect(Given(), "maps", batches(maps, 20), masks, CONCEPTS, groups=groups, k=5)
        found.save(tmp_path / "layer.npz")
        again = Dissection.load(tmp_path / "layer.npz")
        assert again.table("quantile").equals(found.table("quantile")) and again.layer == "maps"
        assert np.array_equal(again.top.maps, found.top.maps) and again.concepts == CONCEPTS
    for content in (b"", b"no zip", b"PK\x03\x04 broken"):
        (tmp_path / "layer.npz").write_bytes(content)
        with pytest.raises(DataError, match="it holds no dissection"):
            Dissection.load(tmp_path / "layer.npz")


def broken():
    model = nn.Sequential(nn.Conv2d(6, 2, 1), nn.Flatten())
    nn.init.constant_(model[0].weight, torch.nan)
    return model


@pytest.mark.parametrize("error, message, change", [
    (SettingsError, "has no layer 'map'. Perhaps maps", dict(layer="map")),
    (SettingsError, r"layer '1': its output is of shape \(10, 96\), not maps", dict(
        model=nn.Sequential(nn.Identity(), nn.Flatten()), layer="1")),
    (SettingsError, "its output is a tuple", dict(model=nn.Sequential(nn.MultiheadAttention(4, 1)), layer="0")),
    (DataError, "layer '0': it puts out values that are not finite", dict(model=broken(), layer="0")),
    (SettingsError, "parameter k: 21 top images were asked for, of 20", dict(k=21)),
    (SettingsError, "k=0", dict(k=0)),
    (DataError, "it holds no images", dict(batches=[])),
    (SettingsError, "a batch has only image", dict(batches=[{"image": torch.rand(2, 6, 4, 4)}])),
    (DataError, r"its maps are \(5, 5\), in the first batch they were \(4, 4\)", dict(batches=[
        {"image": torch.rand(1, 6, size, size), "index": torch.tensor([0])} for size in (4, 5)])),
    (SettingsError, "all images are of one group", dict(groups=["film"] * 20)),
    (SettingsError, "name the masks", dict(concepts=("mass", "mass", "dense", "vessel"))),
    (SettingsError, "name no masks", dict(masks=None)),
    (SettingsError, r"masks of shape \(10, 4, 8, 8\) for 10 images and 4 concepts, on a grid of 16 x 16", dict(
        masks=np.zeros((20, 4, 8, 8), bool))),
    (SettingsError, "and 4 concepts", dict(masks=lambda rows: np.zeros((len(rows), 3, 16, 16), bool))),
    (DataError, "there is no mask for one of the images", dict(masks=np.zeros((15, 4, 16, 16), bool))),
])
def test_bad_input_is_refused(error, message, change):
    maps, masks = example(n=20)
    given = dict(model=Given(), layer="maps", batches=batches(maps, 10), masks=masks, concepts=CONCEPTS, k=2) | change
    if isinstance(given["model"][0] if isinstance(given["model"], nn.Sequential) else None, nn.MultiheadAttention):
        given["model"].forward = lambda x: given["model"][0](x[:, 0, 0], x[:, 0, 0], x[:, 0, 0])
    with pytest.raises(error, match=message):
        dissect(**given)
    assert not any(module._forward_hooks for module in given["model"].modules())


def test_unknown_concepts_rules_and_missing_nulls_are_refused():
    maps, masks = example(n=8)
    found = dissect(Given(), "maps", batches(maps, 8), masks, CONCEPTS, k=1)
    for ask, message in ((lambda: found.table("maximum", "nipple"), "unknown concept 'nipple'. Known: mass, vessel"),
                         (lambda: found.iou("median"), "unknown rule 'median'. Use maximum or quantile"),
                         (lambda: found.iou(np.zeros(3)), "for 6 units"), (lambda: found.null("maximum"), "no groups")):
        with pytest.raises(SettingsError, match=message):
            ask()
