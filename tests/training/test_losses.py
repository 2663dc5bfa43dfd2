import math

import pytest
import torch

from mdlib.training.losses import binary_cross_entropy

NAN = math.nan


def test_it_is_equation_8_with_the_minus_sign_and_the_mean_over_all_entries():
    logits, target = [[0.3, -2.0], [1.5, 0.0]], [[1, 0], [0, 1]]
    naive = [y * math.log(p) + (1 - y) * math.log(1 - p)
             for row, labels in zip(logits, target, strict=True)
             for p, y in zip([1 / (1 + math.exp(-z)) for z in row], labels, strict=True)]
    loss = binary_cross_entropy(torch.tensor(logits, dtype=torch.float64), torch.tensor(target, dtype=torch.float64))
    assert float(loss) == pytest.approx(-sum(naive) / 4, abs=1e-12)
    assert float(loss) == pytest.approx(float(torch.nn.BCELoss()(torch.sigmoid(torch.tensor(logits)),
                                                                 torch.tensor(target).float())), abs=1e-6)


def test_a_logit_of_0_costs_log_2():
    assert float(binary_cross_entropy(torch.zeros(3, 2), torch.tensor([[0., 1], [1, 1], [0, 0]]))) == pytest.approx(
        math.log(2))


def test_it_stays_finite_where_the_probability_rounds_to_0():
    assert float(binary_cross_entropy(torch.tensor([[-500.0]]), torch.ones(1, 1))) == pytest.approx(500)


def test_unknown_targets_neither_count_nor_get_a_gradient():
    logits = torch.tensor([[2.0, -1.0], [0.5, 3.0]], requires_grad=True)
    loss = binary_cross_entropy(logits, torch.tensor([[1.0, NAN], [NAN, 0.0]]))
    loss.backward()
    assert loss.item() == pytest.approx((math.log1p(math.exp(-2)) + 3 + math.log1p(math.exp(-3))) / 2, rel=1e-6)
    assert logits.grad[0, 1] == 0 and logits.grad[1, 0] == 0
    assert logits.grad[0, 0] < 0 < logits.grad[1, 1]


def test_a_batch_in_which_nothing_is_known_costs_nothing():
    logits = torch.ones(2, 2, requires_grad=True)
    loss = binary_cross_entropy(logits, torch.full((2, 2), NAN))
    loss.backward()
    assert loss.item() == 0 and not logits.grad.any()


def test_a_logit_that_is_not_a_number_is_not_hidden_by_an_unknown_target():
    assert torch.isnan(binary_cross_entropy(torch.tensor([[NAN, 1.0]]), torch.tensor([[NAN, 1.0]])))
