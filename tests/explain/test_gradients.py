"""Grad-CAM against its equations, against finite differences and against Captum; and maps that mean nothing."""

import warnings

import pytest
import torch
import torchvision
from captum.attr import LayerGradCam
from torch import nn
from torchvision.models.resnet import Bottleneck

from mdlib.errors import SettingsError
from mdlib.explain.gradients import NoSignalWarning, grad_cam, grad_cam_maps, has_signal
from mdlib.models.attention_densenet import att_a, att_b
from mdlib.models.backbones import densenet121, resnet50

SMALL = dict(growth=8, blocks=(2, 4, 4, 2), stem=16)
SMALL_RESNET = dict(layers=(1, 1, 1, 1), width=8)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


class Tiny(nn.Module):
    """Two convolutions, an in-place ReLU between them and a curved end: small enough for finite differences."""

    def __init__(self):
        super().__init__()
        self.first, self.relu, self.second = nn.Conv2d(1, 3, 3), nn.ReLU(inplace=True), nn.Conv2d(3, 2, 2)
        self.double()

    def tail(self, A):
        return self.second(self.relu(A.clone())).tanh().sum(dim=(2, 3))

    def forward(self, x):
        return self.second(self.relu(self.first(x))).tanh().sum(dim=(2, 3))


def naive_grad_cam(tail, A, c, step=1e-6):
    """Equations 6 and 7 as printed, for one image, before the ReLU; G by central differences."""
    m, h, w = A.shape

    def logit(j, k, l, change):
        moved = A.clone()
        moved[j, k, l] += change
        return tail(moved[None])[0, c].item()

    mean_gradient = [sum((logit(j, k, l, step) - logit(j, k, l, -step)) / (2 * step)
                         for k in range(h) for l in range(w)) / (h * w) for j in range(m)]            # eq. 6
    return [[sum(mean_gradient[j] * A[j, k, l].item() for j in range(m)) for l in range(w)] for k in range(h)]


def test_grad_cam_is_equations_6_and_7_with_the_map_before_the_relu():
    model, x = Tiny(), torch.randn(2, 1, 6, 6).double()
    maps = grad_cam(model, x, "first")
    assert maps.shape == (2, 2, 4, 4) and maps.dtype == torch.float64
    with torch.no_grad():
        A = model.first(x)
        for b in range(2):
            for c in range(2):
                expected = torch.tensor(naive_grad_cam(model.tail, A[b], c), dtype=torch.float64)
                torch.testing.assert_close(maps[b, c], expected, rtol=0, atol=1e-8)


class Logits(nn.Module):
    """For Captum, which wants a tensor."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        answer = self.model(x)
        return answer["logits"] if isinstance(answer, dict) else answer


@pytest.mark.parametrize("build, layer", [
    *[(lambda build=build: build(**SMALL), f"features.{layer}") for build in (densenet121, att_a)
      for layer in ("transition1", "transition2", "transition3")],
    (lambda: densenet121(**SMALL), "features.norm5"), (lambda: densenet121(**SMALL), "features.relu5"),
    (lambda: att_a(normalise="sigmoid", **SMALL), "features.norm5"), (lambda: att_a(**SMALL), "attention.2.project"),
    (lambda: att_b(**SMALL), "features.transition3"), (lambda: resnet50(**SMALL_RESNET), "features.layer3"),
    (lambda: torchvision.models.DenseNet(8, (2, 4, 4, 2), 16, num_classes=15), "features.transition3"),
    (lambda: torchvision.models.ResNet(Bottleneck, [1, 1, 1, 1], 15), "layer4"),
    (lambda: torchvision.models.ResNet(Bottleneck, [1, 1, 1, 1], 15), "layer3.0.downsample")])
def test_all_classes_of_a_batch_equal_captums_one_class_at_a_time(build, layer):
    model, x = build().eval(), torch.rand(3, 3, 64, 64)
    maps = grad_cam(model, x, layer)
    captum = LayerGradCam(Logits(model), model.get_submodule(layer))
    assert maps.shape[:2] == (3, 15)
    for c in range(15) if layer == "features.norm5" else (0, 7, 14):
        expected = captum.attribute(x, target=c)[:, 0]
        assert (maps[:, c] - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_torchvisions_norm5_is_explained_before_its_in_place_relu():
    """The same weights without the in-place ReLU are what Captum explains without doubt."""
    theirs = torchvision.models.DenseNet(8, (2, 4, 4, 2), 16, num_classes=15).eval()
    ours = densenet121(**SMALL).eval()
    ours.features.load_state_dict(theirs.features.state_dict())
    ours.classifier.linear.load_state_dict(theirs.classifier.state_dict())
    x = torch.rand(2, 3, 64, 64)
    maps = grad_cam(theirs, ours.input(x), theirs.features.norm5)
    expected = LayerGradCam(Logits(ours), ours.features.norm5).attribute(x, target=4)[:, 0]
    assert (maps[:, 4] - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_maps_of_densenet_sum_to_the_logit_less_its_bias_behind_the_relu():
    model = densenet121(**SMALL).double().eval()
    model.features.norm5.bias.data.fill_(100.0)            # no value is clipped, so the logit is linear in A
    maps = grad_cam_maps(model, torch.rand(2, 1, 64, 64).double(), "features.norm5")
    expected = maps.logits - model.classifier.linear.bias
    torch.testing.assert_close(maps.values.sum(dim=(2, 3)), expected)


def test_classes_are_given_in_the_order_asked_for():
    model, x = densenet121(**SMALL), torch.rand(2, 1, 64, 64)
    every, some = grad_cam_maps(model, x, "features.norm5"), grad_cam_maps(model, x, "features.norm5", [7, 0])
    assert torch.equal(some.values, every.values[:, [7, 0]]) and torch.equal(some.logits, every.logits[:, [7, 0]])


def test_a_batch_may_be_a_dict_of_the_models_inputs():
    model = densenet121(nonimage=True, **SMALL)
    batch = {"image": torch.rand(2, 1, 64, 64), "nonimage": torch.randn(2, 3)}
    assert grad_cam(model, batch, "features.norm5").shape == (2, 15, 2, 2)


def test_the_model_is_as_before():
    model, x = densenet121(**SMALL).train(), torch.rand(4, 1, 64, 64)
    model.features.norm0.eval()
    model.features.conv0.weight.requires_grad_(False)
    model(x)["logits"].sum().backward()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    grads = {name: None if weight.grad is None else weight.grad.clone() for name, weight in model.named_parameters()}
    modes = [(module.training, len(module._forward_hooks)) for module in model.modules()]
    maps = grad_cam(model, x, "features.transition2")
    assert not maps.requires_grad and x.grad is None and torch.is_grad_enabled()
    assert [(module.training, len(module._forward_hooks)) for module in model.modules()] == modes
    assert not model.features.conv0.weight.requires_grad
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name]), name
    for name, weight in model.named_parameters():
        assert weight.grad is grads[name] is None or torch.equal(weight.grad, grads[name]), name


def test_an_error_leaves_no_hook_and_restores_training():
    model = densenet121(**SMALL).train()
    with pytest.raises(SettingsError, match="nonimage: given"):
        grad_cam(model, {"image": torch.rand(1, 1, 64, 64), "nonimage": torch.zeros(1, 3)}, "features.norm5")
    assert all(module.training and not module._forward_hooks for module in model.modules())
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_it_works_within_any_gradient_mode_and_leaves_it(mode):
    model, x = densenet121(**SMALL), torch.rand(2, 1, 64, 64)
    expected = grad_cam(model, x, "features.norm5")
    with mode():
        before = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        maps = grad_cam(model, x.clone(), "features.norm5")
        assert (torch.is_grad_enabled(), torch.is_inference_mode_enabled()) == before
    assert torch.equal(maps, expected)


def test_frozen_weights_are_explained_too():
    model, x = densenet121(**SMALL), torch.rand(2, 1, 64, 64)
    expected = grad_cam(model, x, "features.transition3")
    assert torch.equal(grad_cam(model.requires_grad_(False), x, "features.transition3"), expected)


def test_under_bfloat16_maps_are_float32_and_close():
    model, x = densenet121(**SMALL), torch.rand(4, 1, 64, 64)
    exact = grad_cam_maps(model, x, "features.norm5")
    with torch.autocast("cpu", torch.bfloat16):
        rough = grad_cam_maps(model, x, "features.norm5")
        silent = grad_cam_maps(att_a(**SMALL), x, "features.norm5")
    assert rough.values.dtype == torch.float32 and rough.signal.float().mean() > 0.9
    assert (rough.values - exact.values).abs().max() < 0.1 * exact.values.abs().max()
    assert not silent.signal.any()


def brought_to(model, kind, x):
    """Weights as they start, larger ones, or some steps of training on noise."""
    if kind == "large":
        for name, weight in model.named_parameters():
            weight.data *= 4 if "score" in name or "linear.weight" in name else 1
    if kind == "trained":
        target, optimizer = (torch.rand(len(x), 15) < 0.4).float(), torch.optim.SGD(model.parameters(), 0.03, 0.9)
        for _ in range(10):
            optimizer.zero_grad()
            nn.functional.binary_cross_entropy_with_logits(model(x)["logits"], target).backward()
            optimizer.step()
    return model


@pytest.mark.parametrize("kind", ["random", "large", "trained"])
@pytest.mark.parametrize("build", [att_a, att_b])
def test_grad_cam_at_norm5_of_a_softmax_network_has_no_signal_and_says_so(build, kind):
    x = torch.rand(8, 1, 64, 64)
    model = brought_to(build(**SMALL), kind, x)
    with pytest.warns(NoSignalWarning, match="120 of 120 Grad-CAM maps at 'features.norm5' hold no signal"):
        maps = grad_cam(model, x, model.features.norm5)
    assert maps.abs().max() < 1e-4
    for layer in ("features.transition1", "features.transition3"):
        assert grad_cam_maps(model, x, layer).signal.all()


@pytest.mark.parametrize("kind", ["random", "large", "trained"])
@pytest.mark.parametrize("build", [densenet121, lambda **size: att_a(normalise="sigmoid", **size)])
def test_real_maps_are_never_flagged(build, kind):
    x = torch.rand(8, 1, 64, 64)
    model = brought_to(build(**SMALL), kind, x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for layer in ("features.transition1", "features.transition3", "features.norm5"):
            grad_cam(model, x, layer)


def test_a_layer_that_the_logits_do_not_use_gives_zero_maps_without_signal():
    model = Tiny()
    model.forward = lambda x: (model.first(x), model.second(torch.ones(len(x), 3, 4, 4).double()))[1].mean(dim=(2, 3))
    maps = grad_cam_maps(model, torch.rand(2, 1, 6, 6).double(), "first")
    assert not maps.values.any() and not maps.signal.any()


def test_signal_is_measured_against_the_rounding_of_the_logit():
    maps = torch.tensor([1e-2, 1e-5, 1e-2, 0.0]).view(1, 4, 1, 1)
    assert has_signal(maps, torch.tensor([[0.0, 0.0, 100.0, 0.0]])).tolist() == [[True, False, False, False]]
    assert has_signal(1e-5 * torch.ones(1, 1, 1, 1).double(), torch.zeros(1, 1).double()).all()


class Twice(Tiny):
    def forward(self, x):
        return super().forward(x) + super().forward(-x)


@pytest.mark.parametrize("model, layer, classes, message", [
    (Tiny(), "third", None, "parameter layer: Tiny has no layer 'third'"),
    (Tiny(), "first", [2], "parameter classes: \\[2\\] asked for, but the model has classes 0 to 1"),
    (Tiny(), "first", [-1], "parameter classes"), (Tiny(), "first", [], "parameter classes"),
    (Twice(), "first", None, "layer 'first': it is called 2 times"),
    (nn.Sequential(nn.Flatten(), nn.Linear(36, 2).double()), "0", None, r"layer '0': its output is of shape \(1, 36\)"),
    (nn.Conv2d(1, 1, 1).double(), "", None, "parameter model: it returns a Tensor without logits")])
def test_what_cannot_be_explained_is_named(model, layer, classes, message):
    with pytest.raises(SettingsError, match=message):
        grad_cam(model, torch.rand(1, 1, 6, 6).double(), layer, classes)


def test_all_classes_take_one_forward_pass_and_no_gradient_before_the_layer():
    """Why it is fast (how fast is in notebooks/7_performance): the trunk runs once, whatever the number of classes."""
    model, calls = densenet121(growth=4, blocks=(1, 1, 1, 1), stem=8).eval(), []
    hook = model.features.conv0.register_forward_hook(lambda *_: calls.append(torch.is_grad_enabled()))
    grad_cam(model, torch.rand(2, 1, 64, 64), "features.norm5")
    hook.remove()
    assert calls == [False]
