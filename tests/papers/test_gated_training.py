"""Training the networks of Fan et al.: both schedules, the loss, and what is left out while it has no weight."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_gated import ANCHORS, OURS, SE, THUMBNAIL, TINY, TISSUE, TRUTH, WHOLE
from torch import nn

from mdlib.errors import DataError, TrainingError
from mdlib.models import instance_fusion
from mdlib.papers import gated
from mdlib.papers.gated import training

PAPERS = replace(OURS, weight="paper", rate="paper")


@pytest.fixture
def small(tiny_gated, tmp_path):
    """`small(**overrides)`: a study of the same pictures in a run folder of its own."""
    return lambda **overrides: gated.open(data_dir=str(tiny_gated.data.folder), run_dir=str(tmp_path / "run"),
                                          cache_dir=str(tiny_gated.data.cache_dir), device="cpu",
                                          overrides=TINY | overrides)


def test_lambda_is_the_papers_in_every_epoch():
    for epoch in range(200):
        paper = max(0, 1 - 0.1 * (epoch // 20))
        found = {kind: training.global_weight(epoch / 200, kind) for kind in ("paper", "reversed", "constant")}
        assert found == pytest.approx({"paper": paper, "reversed": 1 - paper, "constant": 0.5}, abs=1e-12)


def test_lambda_falls_in_ten_steps_of_one_length_however_many_steps_there_are():
    for steps in (10, 37, 1000):
        values = [training.global_weight(step / steps, "paper") for step in range(steps)]
        assert values[0] == 1 and values[-1] == pytest.approx(0.1) and values == sorted(values, reverse=True)
        counts = np.unique(np.round(values, 6), return_counts=True)[1]
        assert len(counts) == 10 and np.ptp(counts) <= 1


@pytest.mark.parametrize("kind, expected", [
    ("paper", lambda epoch: 0.05 * 0.1 ** (epoch // 50)),
    ("cosine", lambda epoch: 0.05 * (1 + np.cos(np.pi * epoch / 200)) / 2)])
def test_the_rate_falls_at_each_quarter_or_along_half_a_cosine(kind, expected):
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.05)
    set_rate = training.rate_schedule(optimizer, kind)
    for epoch in range(200):
        set_rate(epoch / 200)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(expected(epoch), rel=1e-9)


def cross_entropy(logits: torch.Tensor, target: torch.Tensor) -> float:
    """The mean of -log softmax(logits)[target], as a loop."""
    each = [-np.log(np.exp(row[k]) / np.exp(row).sum()) for row, k in zip(logits.double().numpy(), target, strict=True)]
    return float(np.mean(each))


@pytest.mark.parametrize("run", [OURS, SE, ANCHORS, TRUTH, THUMBNAIL, WHOLE, TISSUE], ids=lambda run: run.slug)
def test_the_loss_is_equation_3(trained_gated, run):
    model, rates = trained_gated.model(run), []
    batch = trained_gated.samples("train", run).batch(6)
    with torch.no_grad():
        out = model(**gated.inputs(batch, model))
        one = cross_entropy(out["logits"], batch["target"])
        for kind, share, weight in (("paper", 0.0, 1.0), ("paper", 0.37, 0.7), ("reversed", 0.0, 0.0),
                                    ("reversed", 0.99, 0.9), ("constant", 0.5, 0.5)):
            loss = training.Loss(kind, rates.append)
            loss.schedule(share)
            expected = one
            if "boxes" in out:
                expected = weight * cross_entropy(out["global_logits"], batch["target"]) + (1 - weight) * one
            assert float(loss(model, batch)) == pytest.approx(expected, abs=1e-5)
    assert rates == [0.0, 0.37, 0.0, 0.99, 0.5]


@pytest.mark.parametrize("weight, without", [("paper", 2), ("constant", 0), ("reversed", 0)])
def test_no_crop_is_cut_and_no_instance_seen_while_the_fusion_loss_has_no_weight(small, monkeypatch, weight, without):
    study, run, steps, cut = small(epochs=6), replace(OURS, weight=weight), [], []
    crops, loss = instance_fusion.crops, training.Loss.__call__

    def counted(*arguments):
        cut.append(len(steps))
        return crops(*arguments)

    def called(self, model, batch):
        steps.append(self.lambda_)
        return loss(self, model, batch)
    monkeypatch.setattr(instance_fusion, "crops", counted)
    monkeypatch.setattr(training.Loss, "__call__", called)
    _, history = training.fit(study, run, study.fabric())
    assert len(steps) == 12 and len(history) == 6
    assert steps.count(1.0) == without and cut == [i for i in range(1, 13) if steps[i - 1] < 1]


def test_the_rate_of_each_step_is_that_of_the_run(small, monkeypatch):
    study, rates = small(epochs=6), []
    step = torch.optim.SGD.step
    monkeypatch.setattr(torch.optim.SGD, "step", lambda self, *of: rates.append(self.param_groups[0]["lr"])
                        or step(self, *of))
    training.fit(study, PAPERS, study.fabric())
    assert rates == pytest.approx([0.05 * 0.1 ** (i // 3) for i in range(12)])


def test_a_training_takes_the_number_of_epochs_that_its_run_names(small):
    study = small(epochs=3, demo_epochs=2)
    lengths = [len(training.fit(study, replace(THUMBNAIL, epochs=name), study.fabric())[1])
               for name in ("epochs", "demo_epochs")]
    assert lengths == [3, 2]


def test_weights_begin_as_the_seed_says_and_the_same_for_every_reading_and_schedule(small, monkeypatch):
    monkeypatch.setattr(torch.optim.SGD, "step", lambda self: None)
    study, runs = small(), [OURS, PAPERS, replace(OURS, reading="written"), replace(OURS, seed=1)]
    nets = [training.fit(study, run, study.fabric())[0] for run in runs]
    first, *others = (list(net.parameters()) for net in nets)
    assert [all(map(torch.equal, first, other)) for other in others] == [True, True, False]


def test_a_network_that_diverges_says_what_to_do(small):
    study = small(learning_rate=1e6, epochs=5)
    with pytest.raises((TrainingError, DataError), match=r"lower (the )?learning rate"):
        training.fit(study, OURS, study.fabric())


@pytest.mark.parametrize("run", [OURS, THUMBNAIL, TRUTH, WHOLE, TISSUE], ids=lambda run: run.slug)
def test_predictions_are_the_probabilities_of_the_fused_logits(trained_gated, run):
    model, samples = trained_gated.model(run), trained_gated.samples("test", run)
    with torch.inference_mode():
        logits = model(**gated.inputs(samples.batch(len(samples)), model))["logits"]
    found = trained_gated.predict([run]).tables[run]
    np.testing.assert_allclose(found, logits.softmax(dim=1), atol=1e-6)
    assert list(found) == list(trained_gated.data.classes(run)) and training.parts(run) == ("test",)
    assert found.index.equals(trained_gated.data.labels("test", run).index)
