"""`mdlib predict gated`: what only pictures need; the rest is in tests/study/test_inference.py."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from tiny_gated import ANCHORS, OURS, SE, THUMBNAIL, TISSUE, TRUTH, WHOLE

from mdlib.data import bccd
from mdlib.errors import DataError
from mdlib.files import read_json
from mdlib.models.crops import crops
from mdlib.papers import gated
from mdlib.papers.gated import PAPER, predict
from mdlib.study import bundle, inference, results, shipped
from mdlib.widgets.standalone import case_page

PIXELS = np.arange(48 * 64 * 3, dtype=np.uint32).reshape(48, 64, 3).astype(np.uint8)
FLAT = np.full((60, 80, 3), 128, np.uint8)


def ask(study, paths, out, run=OURS, page=None) -> dict[str, str]:
    return inference.predict(PAPER, study.run_folder(run), paths, out, "cpu", {}, page)


def files(study, run) -> list:
    paths = study.data.of(run).paths()
    return [paths[row] for row in study.data.rows("test", run)]


@pytest.mark.parametrize("run", [OURS, SE, ANCHORS, THUMBNAIL, TISSUE], ids=lambda run: run.slug)
def test_probabilities_are_those_of_the_study(trained_gated, tmp_path, run):
    paths = files(trained_gated, run)
    assert ask(trained_gated, paths, tmp_path, run) == {}
    table = pd.read_csv(tmp_path / "predictions.csv").assign(bag=lambda table: table["image"].str.extract(
        r"([^/]+)\.\w+$")[0])
    assert list(table)[1:5] == ["class", "probability", "global_probability", "instances"]
    found = table.pivot(index="bag", columns="class", values="probability")
    expected = trained_gated.predict([run]).tables[run]
    assert len(found) == len(paths)
    np.testing.assert_allclose(found.loc[expected.index, list(expected)], expected, atol=1e-5)
    model, samples = trained_gated.model(run), trained_gated.samples("test", run)
    with torch.inference_mode():
        out = model(**gated.inputs(samples.batch(len(samples)), model))
    of_thumbnail = table.pivot(index="bag", columns="class", values="global_probability")
    np.testing.assert_allclose(of_thumbnail.loc[expected.index, list(expected)], out["global_logits"].softmax(dim=1),
                               atol=1e-5)
    counts = table.groupby("bag")["instances"].first().loc[expected.index]
    assert counts.isna().all() if run == THUMBNAIL else (counts == out["found"].sum(dim=1).numpy()).all()


def test_a_page_shows_attention_and_each_instance_at_the_resolution_of_the_file(trained_gated, tmp_path):
    cases, path = [], files(trained_gated, TISSUE)[0]
    assert ask(trained_gated, [path], tmp_path, TISSUE, lambda case, title, above: cases.append((case, above)) or
               case_page(case, title, above)) == {}
    ((case, above),) = cases
    assert list(case["maps"]) == ["attention Ω", "semantic map S"] and len(case["gates"]) == 32
    found, picture = [bool(of[2]) for of in case["instances"]], np.asarray(Image.open(path).convert("RGB"))
    assert f"{sum(found)} instances were found, of at most 4" in above
    for crop, (left, top, width, height), _, _ in case["instances"]:
        box = torch.tensor([[[top, left, top + height, left + width]]])
        expected = crops(torch.from_numpy(np.moveaxis(picture.copy(), 2, 0))[None],
                         torch.tensor([picture.shape[:2]]), box.clamp(0, 1), 32)
        np.testing.assert_array_equal(crop, (expected[0, 0] * 255).round().byte().permute(1, 2, 0))
    page = (tmp_path / f"{path.name}.html").read_text()
    assert "48 x 64 pixels in colour, and its instances in 32 x 32" in page and "drawn phantoms" in page


def test_the_network_of_the_thumbnail_has_a_page_without_instances(trained_gated, tmp_path):
    cases = []
    ask(trained_gated, files(trained_gated, THUMBNAIL)[:1], tmp_path, THUMBNAIL,
        lambda case, title, above: cases.append(case) or case_page(case, title, above))
    assert "instances" not in cases[0] and list(cases[0]["maps"]) == ["attention Ω", "semantic map S"]


ODD = {"cmyk.tif": lambda path: Image.fromarray(PIXELS).convert("CMYK").save(path),
       "alpha.png": lambda path: Image.fromarray(PIXELS).convert("RGBA").save(path),
       "deep.png": lambda path: Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257).save(path),
       "small.png": lambda path: Image.fromarray(PIXELS[:31]).save(path),
       "narrow.png": lambda path: Image.fromarray(PIXELS[:, :31]).save(path),
       "turned.jpg": lambda path: Image.fromarray(PIXELS).save(path, exif=b"Exif\0\0MM\0*\0\0\0\10\0\1\1\22\0\3\0\0\0\1"
                                                                        b"\0\6\0\0\0\0\0\0"),
       "text.png": lambda path: path.write_text("no picture"), "empty.tif": lambda path: path.touch(),
       "cut.tif": lambda path: (Image.fromarray(PIXELS).save(path), path.write_bytes(path.read_bytes()[:5000]))}
SAID = {"cmyk.tif": "CMYK", "alpha.png": "alpha", "deep.png": "8 bits", "small.png": "31 x 64 .* crop of 32",
        "narrow.png": "48 x 31 .* crop of 32", "turned.jpg": "EXIF orientation is 6", "text.png": "no picture",
        "empty.tif": "empty", "cut.tif": "cut off"}


def test_pictures_that_cannot_be_used_are_named_and_do_not_stop_the_others(trained_gated, tmp_path):
    (tmp_path / "in").mkdir()
    for name, write in ODD.items():
        write(tmp_path / "in" / name)
    good = files(trained_gated, OURS)[0]
    (tmp_path / "in/good.jpg").write_bytes(good.read_bytes())
    failures = ask(trained_gated, [tmp_path / "in"], tmp_path / "out", page=case_page)
    assert failures.keys() == ODD.keys()
    for name, words in SAID.items():
        with pytest.raises(DataError, match=rf"{name}: .*{words}.*\. [A-Z]"):
            raise DataError(failures[name])
    assert set(pd.read_csv(tmp_path / "out/predictions.csv")["image"]) == {"good.jpg"}
    warnings = pd.read_csv(tmp_path / "out/warnings.csv")
    assert set(warnings["image"][warnings["check"] == inference.NOT_READ]) == set(ODD)
    assert [page.name for page in (tmp_path / "out").glob("*.html")] == ["good.jpg.html"]


@pytest.mark.parametrize("run", [OURS, SE, ANCHORS, THUMBNAIL, TISSUE], ids=lambda run: run.slug)
def test_a_flat_picture_and_one_of_any_size_or_mode_are_predicted_with_warnings(trained_gated, tmp_path, run):
    for name, pixels in {"flat.png": FLAT, "black.png": 0 * FLAT, "white.png": 0 * FLAT + 255,
                         "grey.png": PIXELS[..., 0], "wide.png": np.tile(PIXELS, (1, 6, 1)),
                         "least.png": PIXELS[:32, :32]}.items():
        Image.fromarray(pixels).save(tmp_path / name)
    paths = sorted(tmp_path.glob("*.png"))
    assert ask(trained_gated, paths, tmp_path / "out", run, case_page) == {}
    table = pd.read_csv(tmp_path / "out/predictions.csv")
    assert table["probability"].between(0, 1).all() and table["image"].nunique() == len(paths) == len(
        list((tmp_path / "out").glob("*.html")))
    checks = pd.read_csv(tmp_path / "out/warnings.csv").groupby("image")["check"].agg(set)
    for name in ("flat.png", "black.png", "white.png"):
        assert "contrast" in checks[name]
    assert "shape" in checks["wide.png"] and "size" in checks["least.png"]


def test_another_stain_gets_a_warning_and_few_pictures_of_the_collection_do(trained_gated, tmp_path):
    path = files(trained_gated, TISSUE)[0]
    (tmp_path / "in").mkdir()
    Image.fromarray(np.asarray(Image.open(path))[..., [2, 0, 1]]).save(tmp_path / "in/other.png")
    ask(trained_gated, [tmp_path / "in", *files(trained_gated, TISSUE)], tmp_path / "out", TISSUE)
    checks = pd.read_csv(tmp_path / "out/warnings.csv").groupby("image")["check"].agg(set)
    other = next(name for name in checks.index if name.endswith("other.png"))
    assert checks[other] & {"red", "green", "blue"} and len(checks) <= 3


def test_a_network_that_needs_what_nobody_knows_of_a_file_has_no_card(trained_gated):
    for run in (TRUTH, WHOLE, replace(OURS, sampler="truth", seed=3)):
        assert predict.card(trained_gated, run) is None
        assert not (trained_gated.run_folder(run) / bundle.CARD).exists()
    assert predict.card(trained_gated, OURS) == {"colour": False}
    assert predict.card(trained_gated, TISSUE) == {"colour": True}
    with pytest.raises(DataError, match=r"no card\.json.*no attention"):
        inference.open_predictor(PAPER, trained_gated.run_folder(WHOLE))


def test_statistics_are_of_the_training_part_and_limits_of_the_test_part(trained_gated):
    found = predict.reference(trained_gated, TISSUE)
    pixels = trained_gated.samples("train", TISSUE).pixels
    train, test = (pixels[trained_gated.data.rows(part, TISSUE)].astype(float) for part in ("train", "test"))
    np.testing.assert_allclose(found["colour"], np.mean([np.ptp(one, axis=-1).mean() for one in train]))
    low, high = found["limits"][0]
    red = test[..., 0].mean(axis=(1, 2)) / 255
    assert low <= red.mean() <= high
    np.testing.assert_allclose(found["aspect_ratios"], [320 / 256] * 2)


def test_the_shipped_network_of_blood_smears_is_right_on_files_as_often_as_its_card_says(real_data, tmp_path):
    smears = bccd.bccd(real_data / "bccd")
    tested = smears.table["part"] == "test"
    folder = shipped.folder("gated") / "gated-collection-bccd"
    paths = [smears.paths()[row] for row in np.flatnonzero(tested)]
    assert inference.predict(PAPER, folder, paths, tmp_path, "cpu", {}, lambda *_: "") == {}
    table = pd.read_csv(tmp_path / "predictions.csv")
    likeliest = table.loc[table.groupby("image", sort=False)["probability"].idxmax()]
    told = dict(zip(likeliest["image"].map(lambda name: Path(name).stem), likeliest["class"], strict=True))
    true = smears.table[tested].set_index("bag")["label"]
    right = np.mean([told[bag] == label for bag, label in true.items()])
    card = results.table(read_json(folder / "card.json")["shipped"]["metrics"]).set_index("measure")
    assert right == pytest.approx(card.loc["accuracy", "value"], abs=1e-3)
