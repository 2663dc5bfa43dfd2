"""The recipe of chapter 5: settings, folds, trainings and what they write."""

import dataclasses

import numpy as np
import pytest
import torch
from tiny_mdnet import TINY

from mdlib.data import report_samples
from mdlib.data.vocabulary import END, PAD
from mdlib.errors import DataError, SettingsError
from mdlib.files import read_json, write_json
from mdlib.recipes import mdnet
from mdlib.recipes import trainings as shared
from mdlib.recipes.mdnet import plan, recognition, trainings, writing
from mdlib.recipes.mdnet.plan import Recognition, Training
from mdlib.recipes.mdnet.rows import ATTENTIONS, EVERY, ROWS


def test_the_papers_numbers_are_those_of_the_paper():
    paper = mdnet.PROFILES["paper"]
    assert (paper.side, paper.depth, paper.width, paper.folds, paper.eta) == (224, 38, 8, 5, 5.0)
    assert (paper.recognition_epochs, paper.recognition_batch, paper.recognition_rate) == (200, 128, 0.1)
    assert set(ROWS) <= set(paper.rows) and len(ROWS) == 7


def test_weights_are_those_of_the_logs_and_of_the_text():
    table = mdnet.weights()
    assert (table["weights"] == table["paper"]).all()
    assert dict(zip(table["network"], table["weights"], strict=True)) == {
        "ecnet_56_12_c10": 7918362, "ecnet_56_12_c100": 7987572, "ecnet_110_4_c10": 1841818,
        "ecnet_110_4_c100": 1864948, "ecnet_38_8_c4": 2265428, "wrn_40_4_c10": 8949210, "wrn_40_4_c100": 8972340,
        "resnet_164_c10": 1703258, "resnet_164_c100": 1726388}


@pytest.mark.parametrize("overrides, said", [
    ({"rows": ["split"]}, "mdnet among them"), ({"rows": ["mdnet", "vgg"]}, "baseline_gn"), ({"depth": 37}, "9 n"),
    ({"etas": [0.0]}, "etas"), ({"beta": "linear"}, "logistic"), ({"class_of_c": "best"}, "class_of_c"),
    ({"folds": 1}, "folds"), ({"clip": 96}, "clip"), ({"stem": "vit"}, "stem"),
    ({"recognition": ["resnet_164"], "shapes": 0}, "shapes"),
    ({"recognition": ["alexnet"]}, "recognition"), ({"falls": [1.0]}, "falls"), ({"dropout": 1.0}, "dropout"),
    ({"channels_last": True}, "channels_last"), ({"hiden": 3}, "'hiden'")])
def test_a_setting_that_makes_no_sense_is_named(overrides, said):
    with pytest.raises(SettingsError, match=said):
        mdnet.choose("embedded", overrides)


def test_what_several_tables_need_is_trained_once():
    settings = mdnet.PROFILES["paper"]
    every = plan.plan(settings, [0, 1, 2, 3, 4], [0, 1, 2])
    assert len(every) == len({one.slug for one in every})
    # 2 image models, 9 rows, eta 0.1, 1 and 25 (5 is a row), and without scaling down
    assert len(every) == 3 * 5 * (2 + 9 + 3 + 1)
    assert [one for one in every if one.row == "googlenet"]
    without = dataclasses.replace(settings, rows=("mdnet",), etas=())
    assert plan.plan(without, [0], [0]) == [Training("ecnet"), Training("mdnet")]


def test_no_patient_trains_and_tests_and_each_image_is_tested_once(tiny_mdnet):
    patients = tiny_mdnet.reports.table["patient"]
    for fold in range(2):
        train, test = (tiny_mdnet.part(part, fold) for part in ("train", "test"))
        assert not set(patients.iloc[train]) & set(patients.iloc[test])
        assert sorted([*train, *test]) == list(range(72))
    assert sorted(np.concatenate([tiny_mdnet.part("test", fold) for fold in range(2)])) == list(range(72))
    with pytest.raises(SettingsError, match="folds 0 to 1"):
        tiny_mdnet.part("test", 2)


def test_the_words_are_those_of_the_training_part(tiny_mdnet):
    rows, reports = tiny_mdnet.part("train"), tiny_mdnet.reports
    words = {word for row in rows for text in reports.full(row) for word in text.split()}
    assert set(tiny_mdnet.vocabulary().words) == words
    ids = tiny_mdnet.words(whole=True)
    assert ids.shape == (72, 5, 1, TINY.get("longest_report", 60) + 1)
    assert tiny_mdnet.vocabulary().decode(ids[rows[0], 0, 0]) == reports.full(rows[0])[0]


def test_the_colours_are_those_of_the_training_pixels(tiny_mdnet):
    mean, std = tiny_mdnet.colour()
    pixels = tiny_mdnet.pixels[np.sort(tiny_mdnet.part("train"))].reshape(-1, 3) / 255
    assert mean == pytest.approx(pixels.mean(axis=0)) and std == pytest.approx(pixels.std(axis=0))


def test_rows_start_from_one_image_model_a_fold_and_leave_it_as_it_is_unless_fine_tuned(trained_mdnet):
    begun = trainings.weights_of(trained_mdnet, Training("ecnet"))
    for row in ("baseline_en", "split", "split_tuned"):
        ended = trainings.weights_of(trained_mdnet, Training(row))
        same = [torch.equal(value, ended[f"image_model.{name}"]) for name, value in begun.items()]
        assert all(same) if row != "split_tuned" else not all(same), row


def test_a_row_with_googlenet_starts_from_one_that_fits(tiny_mdnet):
    begun = trainings.begins_with(Training("baseline_gn", fold=1))
    assert begun == Training("googlenet", fold=1)
    weights = trainings.build(tiny_mdnet, begun).state_dict()
    trainings.build(tiny_mdnet, Training("baseline_gn", fold=1)).image_model.load_state_dict(weights)


def test_mdnet_learns_both_at_once_from_fresh_weights(trained_mdnet):
    history = mdnet.train_all(trained_mdnet, [Training("mdnet")])[Training("mdnet")]
    assert len(history) == trained_mdnet.settings.epochs
    assert all(entry["gradient_M"] > 0 and entry["gradient_L"] > 0 for entry in history)
    assert trainings.begins_with(Training("mdnet")) is None


def test_a_finished_training_is_not_done_again(trained_mdnet):
    folder = shared.folder(trained_mdnet, Training("mdnet"))
    stamps = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    mdnet.train_all(trained_mdnet, [Training("mdnet")])
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == stamps


def test_the_same_seed_gives_the_same_network_and_the_same_words(trained_mdnet, mdnet_phantoms, tmp_path):
    again = mdnet.start(data_dir=str(mdnet_phantoms), run_dir=str(tmp_path), device="cpu", overrides=TINY)
    mdnet.train_all(again, [Training("mdnet")])
    first, second = (trainings.weights_of(chapter, Training("mdnet")) for chapter in (trained_mdnet, again))
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert mdnet.predictions(trained_mdnet, Training("mdnet")).equals(mdnet.predictions(again, Training("mdnet")))


@pytest.mark.parametrize("row", ["mdnet", "baseline_en"])
def test_what_is_kept_is_what_the_network_writes(trained_mdnet, row):
    table, model = mdnet.predictions(trained_mdnet, Training(row)), mdnet.trained(trained_mdnet, Training(row))
    assert table["row"].tolist() == trained_mdnet.part("test").tolist()
    samples = trained_mdnet.samples("test", whole=not EVERY[row].split)
    settings = trained_mdnet.settings
    longest = settings.longest if EVERY[row].split else settings.longest_report
    answer = model.report(samples[3]["image"][None], longest=longest)
    said = [trained_mdnet.vocabulary().decode(ids.numpy()) for ids in answer["words"][0]]
    columns = list(trained_mdnet.reports.parts) if EVERY[row].split else ["report"]
    assert table.iloc[3][columns].tolist() == said
    assert table.iloc[3]["guess"] == int(answer["logits"].argmax())


def test_a_report_is_scored_without_its_conclusion(tiny_mdnet):
    rows = tiny_mdnet.part("test")[:2]
    split, whole = (writing.queries(tiny_mdnet, 0, rows, of) for of in (False, True))
    assert split.shape[:2] == (2, 5) and whole.shape[:2] == (2, 1)
    report, vocabulary = tiny_mdnet.reports.texts[rows[0]][0], tiny_mdnet.vocabulary()
    described = " ".join(report[part] for part in tiny_mdnet.reports.parts[:-1])
    known = " ".join(word if word in vocabulary.words else "<unknown>" for word in described.split())
    assert vocabulary.decode(whole[0, 0].clamp(min=END).numpy()) == known
    assert not (whole == END).any(), "the end of the sentence is not asked about"
    assert ((split != PAD).sum(dim=2) > 1).all()


def test_likelihoods_are_those_of_the_forward_pass(trained_mdnet):
    """Of the third query and the second image, word by word."""
    kept, model = mdnet.likelihoods(trained_mdnet, Training("mdnet")), mdnet.trained(trained_mdnet, Training("mdnet"))
    rows = trained_mdnet.part("test")
    words = writing.queries(trained_mdnet, 0, rows, False)[[2]]
    image = trained_mdnet.samples("test")[1]["image"][None]
    with torch.inference_mode():
        log_p = model(image, words)["words"].log_softmax(dim=3)
    chosen = log_p.gather(3, words.clamp(min=0)[..., None])[..., 0]
    assert kept.shape == (len(rows), len(rows))
    assert kept[2, 1] == pytest.approx(float((chosen * (words != PAD)).sum()), rel=1e-4)


def test_the_true_class_may_be_given_in_training(tiny_mdnet):
    """Both losses with w^c of the label, and with that of the guess: the same where the guess is right."""
    settings = dataclasses.replace(tiny_mdnet.settings, class_of_c="true", dropout=0.0)
    model = trainings.build(tiny_mdnet, Training("mdnet")).eval()
    batch = tiny_mdnet.samples("train").__getitems__(range(8))
    true, guessed = (trainings.loss_of(model, Training("mdnet"), of)
                     for of in (settings, dataclasses.replace(settings, class_of_c="predicted")))
    with torch.no_grad():
        assert float(true(model, batch)) != pytest.approx(float(guessed(model, batch)), abs=1e-9)
        batch["target"] = model(batch["image"], batch["words"])["logits"].argmax(dim=1)
        assert float(true(model, batch)) == pytest.approx(float(guessed(model, batch)))


def test_table_1_is_trained_by_the_policy_of_wrn_and_tells_the_error_of_each_epoch(trained_mdnet):
    one = Recognition("ecnet_110_4", "shapes")
    history = mdnet.train_all(trained_mdnet, [one])[one]
    assert len(history) == 2 and all(0 <= entry["error"] <= 1 for entry in history)
    images, labels = recognition.images(trained_mdnet, "shapes", "test")
    assert images.shape == (recognition.TESTED, 32, 32, 3) and set(labels) == set(range(10))
    train, _ = recognition.images(trained_mdnet, "shapes", "train")
    assert len(train) == len(images) and not (images == train).all(axis=(1, 2, 3)).any()


@pytest.mark.soak
@pytest.mark.parametrize("name", ["ecnet_110_4", "ecnet_56_12", "wrn_40_4", "resnet_164"])
def test_one_step_of_the_papers_networks_on_cifar(name, real_data, tiny_mdnet):
    """The paper profile, as it would run on a GPU: full size; a small step down the slope lowers the batch's loss."""
    torch.manual_seed(0)
    settings = dataclasses.replace(tiny_mdnet.settings, recognition_small=False)
    from mdlib.data import cifar
    images, labels, _ = cifar.read(real_data / "cifar10", "test")
    samples = cifar.DeviceImages(images[:4], labels[:4], "cpu", training=True)
    model = recognition.build(settings, Recognition(name, "cifar10"), images[:100], np.arange(10))
    batch = samples.__getitems__(range(4))
    before = recognition.loss(model, batch)
    before.backward()
    steepness = sum(weight.grad.square().sum() for weight in model.parameters())
    with torch.no_grad():
        for weight in model.parameters():       # so far that a straight slope would take off a thousandth of the loss
            weight -= 1e-3 * before / steepness * weight.grad
        assert recognition.loss(model, batch) < before


@pytest.mark.soak
def test_one_step_of_the_papers_mdnet(tiny_mdnet):
    """Images of 224 pixels, EcNet-38-8, maps of 14 x 14: the loss of two images, and its gradients."""
    torch.manual_seed(0)
    paper = mdnet.PROFILES["paper"]
    model = mdnet.network(paper, "mdnet", 100, 6, 4, (0.5,) * 3, (0.2,) * 3).train()
    assert model.language.positions == 196 and model.image_model.channels == 512
    loss = trainings.loss_of(model, Training("mdnet"), paper)
    words = torch.randint(2, 100, (2, 6, 16))
    value = loss(model, {"image": torch.rand(2, 3, 224, 224), "words": words, "target": torch.tensor([0, 2])})
    value.backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0
               for name, weight in model.named_parameters() if "embed" not in name), "every weight learns"


def test_attentions_differ_from_mdnet_in_the_attention_alone():
    for row in ATTENTIONS.values():
        assert dataclasses.replace(row, name="MDNet", attention="aas") == ROWS["mdnet"]


@pytest.mark.parametrize("change, kind, said", [
    ({"overrides": {**TINY, "epochs": 2}}, SettingsError, "another epochs"),
    ({"seed": -1}, SettingsError, "seed"), ({"profile": "laptop"}, SettingsError, "laptop")])
def test_a_run_that_does_not_fit_is_refused(tiny_mdnet, mdnet_phantoms, change, kind, said):
    asked = {"data_dir": str(mdnet_phantoms), "run_dir": str(tiny_mdnet.run.folder), "device": "cpu",
             "overrides": TINY, **change}
    with pytest.raises(kind, match=said):
        mdnet.start(**asked)


def test_other_reports_in_the_same_run_folder_are_refused(tiny_mdnet, mdnet_phantoms, tmp_path):
    (tmp_path / "images").symlink_to(mdnet_phantoms / "images")
    entries = read_json(mdnet_phantoms / "reports.json")
    entries[0]["reports"][0]["mitosis"] = "no mitosis at all"
    write_json(tmp_path / "reports.json", entries)
    with pytest.raises(SettingsError, match="another data"):
        mdnet.start(data_dir=str(tmp_path), run_dir=str(tiny_mdnet.run.folder), device="cpu", overrides=TINY)


def test_a_fold_whose_training_part_lacks_a_class_is_named(mdnet_phantoms, tmp_path):
    """All normal images are of one patient: the fold that tests them cannot learn what normal is."""
    (tmp_path / "images").symlink_to(mdnet_phantoms / "images")
    entries = read_json(mdnet_phantoms / "reports.json")
    others = ("low grade", "high grade", "insufficient information")
    for number, entry in enumerate(entries):
        entry["conclusion"] = "normal" if entry["patient"] == "P001" else others[number % 3]
        for report in entry["reports"]:
            report["conclusion"] = entry["conclusion"]
    write_json(tmp_path / "reports.json", entries)
    chapter = mdnet.start(data_dir=str(tmp_path), run_dir=str(tmp_path / "run"), device="cpu", overrides=TINY)
    with pytest.raises(DataError, match=r"fold \d.*"):
        chapter.part("train")


def test_a_reader_without_images_cannot_train(tmp_path):
    with pytest.raises(DataError, match=r"reports\.json"):
        mdnet.start(data_dir=str(tmp_path), run_dir=str(tmp_path / "run"), device="cpu", overrides=TINY)


def test_an_unknown_word_is_one_word_and_a_long_sentence_is_cut(tiny_mdnet):
    vocabulary = tiny_mdnet.vocabulary()
    ids = vocabulary.encode(["zebra nuclei", " ".join(["nuclei"] * 40)], 15)
    assert vocabulary.decode(ids[0]).split()[0] == "<unknown>" and (ids[1] != PAD).sum() == 16
    assert report_samples.words_of(tiny_mdnet.reports, vocabulary, 3).shape == (72, 5, 6, 4)


def test_a_gradient_that_is_too_large_is_clipped_in_the_language_model_alone(tiny_mdnet):
    settings = dataclasses.replace(tiny_mdnet.settings, clip_gradient=1e-3)
    model = trainings.build(tiny_mdnet, Training("mdnet"))
    stepper = trainings.optimizer(model, Training("mdnet"), settings)
    for weight in model.parameters():
        weight.grad = torch.ones_like(weight)
    stepper.step()
    assert all(weight.grad.max() == pytest.approx(1e-3) for weight in model.language.parameters())
    assert all(weight.grad.max() == 1 for weight in model.image_model.parameters())
