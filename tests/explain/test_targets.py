"""One class per image: the logit and the map of that class, for batches of many classes at once."""

import pytest
import torch
from torch import nn

from mdlib.errors import SettingsError
from mdlib.explain.gradients import grad_cam_maps
from mdlib.explain.targets import ClassPerImage, logits_of
from mdlib.models.attention_densenet import att_a

SMALL = dict(growth=8, blocks=(2, 4, 4, 2), stem=16)


def test_the_logit_is_that_of_each_images_class_and_other_outputs_stay():
    torch.manual_seed(0)
    model, image = att_a(**SMALL).eval(), torch.rand(4, 1, 64, 64)
    classes = torch.tensor([3, 0, 14, 3])
    with torch.no_grad():
        whole, answer = model(image), ClassPerImage(model)(classes, image=image)
    assert answer["logits"].shape == (4, 1)
    assert answer["logits"][:, 0].tolist() == [whole["logits"][i, k] for i, k in enumerate(classes)]
    assert all(torch.equal(a, b) for a, b in zip(answer["attention"], whole["attention"], strict=True))


def test_its_map_is_the_map_of_the_images_class():
    torch.manual_seed(0)
    model, image, classes = att_a(**SMALL).eval(), torch.rand(4, 1, 64, 64), torch.tensor([3, 0, 14, 3])
    every = grad_cam_maps(model, image, "features.transition2")
    own = grad_cam_maps(ClassPerImage(model), {"image": image, "class_index": classes}, "features.transition2")
    assert own.values.shape == (4, 1, 4, 4) and own.signal.shape == (4, 1)
    torch.testing.assert_close(own.values[:, 0], every.values[range(4), classes])
    torch.testing.assert_close(own.logits[:, 0], every.logits[range(4), classes])


class Named(nn.Linear):
    def forward(self, image):
        return super().forward(image)


def test_a_network_may_answer_with_its_logits_alone():
    model = Named(2, 3, bias=False)
    model.weight.data = torch.tensor([[1.0, 0], [0, 1], [2, 2]])
    answer = ClassPerImage(model)(torch.tensor([1, 2]), image=torch.tensor([[5.0, 7], [1, 2]]))
    assert answer["logits"].tolist() == [[7.0], [6.0]]


@pytest.mark.parametrize("answer", [{"scores": torch.zeros(2, 3)}, torch.zeros(3), None])
def test_an_answer_without_logits_is_refused(answer):
    with pytest.raises(SettingsError, match="without logits"):
        logits_of(answer)
