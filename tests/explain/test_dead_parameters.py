"""Parameters without gradient: those of a branch that is not used, and of a vector that cancels."""

import pytest
import torch
from torch import nn

from mdlib.explain.dead_parameters import dead_parameters
from mdlib.models.attention_densenet import att_b

SMALL = dict(growth=8, blocks=(2, 4, 4, 2), stem=16)


class Network(nn.Module):
    """logits = 3 w x + unused; `common` is added to all scores of a softmax, where it cancels."""

    def __init__(self):
        super().__init__()
        self.head, self.common, self.unused = (nn.Linear(2, 2, bias=False) for _ in range(3))
        self.norm = nn.BatchNorm1d(2)
        self.double()

    def forward(self, x):
        score = self.norm(x) + self.common(x).sum(dim=1, keepdim=True)
        return {"logits": self.head(x) * score.softmax(dim=1)}


@pytest.fixture
def x():
    return torch.randn(5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_what_cancels_and_what_is_unused_is_dead(x):
    table = dead_parameters(Network(), x)
    assert table.index.tolist() == ["head", "common", "unused", "norm"] and table.index.name == "group"
    assert table["weights"].tolist() == [4, 4, 4, 4]
    assert table["dead"].tolist() == [False, True, True, False]
    assert table.loc["unused", "largest gradient"] == 0 < table.loc["common", "largest gradient"] < 1e-14


def test_the_largest_gradient_is_that_of_the_sum_of_the_logits(x):
    model = Network().eval()
    model(x)["logits"].sum().backward()
    table = dead_parameters(model, {"x": x})
    assert table.loc["head", "largest gradient"] == model.head.weight.grad.abs().max().item()


def test_a_parameter_may_be_split_and_parameters_joined(x):
    def groups(name, gradient):
        return {"first row": gradient[:1], "second row": gradient[1:]} if name == "head.weight" else {"rest": gradient}
    table = dead_parameters(Network(), x, groups)
    assert table["weights"].to_dict() == {"first row": 2, "second row": 2, "rest": 12}
    assert not table["dead"].any()


def test_the_tolerance_is_relative_to_the_largest_gradient(x):
    model = Network()
    assert dead_parameters(model, x, tolerance=0)["dead"].tolist() == [False, False, True, False]
    assert dead_parameters(model, x, tolerance=1)["dead"].all()


def test_the_model_stays_as_it_was(x):
    model = Network().train()
    model.head.weight.requires_grad_(False)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.inference_mode():
        table = dead_parameters(model, x)
    assert not table.loc["head", "dead"] and not model.head.weight.requires_grad
    assert all(module.training for module in model.modules())
    assert all(weight.grad is None for weight in model.parameters())
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_the_half_of_attbs_scores_that_meets_the_global_vector_is_dead():
    torch.manual_seed(0)
    model = att_b(**SMALL).double()
    norm5 = model.features.norm5.num_features

    def halves(name, gradient):
        if not name.endswith("score.weight"):
            return {"other": gradient}
        return {"u for l": gradient[:, :-norm5], "u for g": gradient[:, -norm5:]}
    table = dead_parameters(model, torch.rand(2, 1, 64, 64, dtype=torch.float64), halves)
    assert table["dead"].to_dict() == {"other": False, "u for l": False, "u for g": True}
