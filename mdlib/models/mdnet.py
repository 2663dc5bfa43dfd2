r"""MDNet: an image model that classifies and shows where, and a language model that writes the report (Zhang et al.).

    image -> D -> C(I) -+-> M: mean over places, linear -> logits of the conclusions
                        |            w^c |
                        +-> L: c = (w^c)^T C(I), LSTM with attention -> words

Any image model will do that has `features(image)` (B, C, h, w), `classifier`, a `nn.Linear` from C, and `channels`.
"""

from typing import Any

import torch
from torch import Tensor, nn

from mdlib.errors import SettingsError
from mdlib.models.decoding import generate
from mdlib.models.report_lstm import ReportLSTM


class _ScaledGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient * ctx.factor, None


def scale_gradient(x: Tensor, factor: float) -> Tensor:
    """x on the way forward, to the bit; its gradient times `factor` on the way back."""
    return _ScaledGradient.apply(x, factor)


class MDNet(nn.Module):
    r"""Image model D, auxiliary attention sharpening M and language model L (Zhang et al., Fig. 2, section 4).

    M: logits of the conclusions, from the mean of C(I) over its places
    L: words, from C(I) and c = (w^c)^T C(I)                                      eq. 8-10

    theta_D <- theta_D - lr ((1 - beta) dL_M / dtheta_D + beta eta dL_L / dtheta_D)           eq. 12

    is what any optimiser does with the sum of both losses when the gradients are scaled where the network forks:
    `fork` = (1 - beta, beta eta). theta_M and theta_L are behind the fork and keep their gradients; w^c is a constant
    for L, so that theta_M learns from L_M alone. "Assigned class c" is the one with the highest logit, in training too
    (as in the authors' later code), unless `chosen` names another.
    """

    def __init__(self, image_model: nn.Module, language: ReportLSTM):
        super().__init__()
        if image_model.channels != language.channels:
            raise SettingsError(f"reads {language.channels} channels, the image model gives {image_model.channels}",
                                "language model", "Build it with the channels of the image model.")
        self.image_model, self.language = image_model, language

    def forward(self, image: Tensor, words: Tensor, *, chosen: Tensor | None = None,
                fork: tuple[float, float] = (1.0, 1.0)) -> dict[str, Tensor]:
        """image (B, 3, H, W) in [0, 1], words int64 (B, K, T), chosen int64 (B,): the class of w^c -> dict of

        `logits` (B, classes) of M; `words` (B, K, T, V), logits of each word given those before it; `attention`
        (B, K, T, P) of each word, absent where the language model has none; `evidence` c (B, P); `features` C(I).
        fork: factors of the gradient that the image model gets from M and from L.
        """
        features = self.image_model.features(image)
        logits = self._classify(scale_gradient(features, fork[0]))
        seen = scale_gradient(features, fork[1])
        c = evidence_of(seen, self.image_model.classifier, logits.argmax(dim=1) if chosen is None else chosen)
        spoken = self.language(seen, words, c)
        return {**spoken, "words": spoken["logits"], "logits": logits, "evidence": c, "features": features}

    @torch.no_grad()
    def report(self, image: Tensor, *, longest: int, beam: int = 1, chosen: Tensor | None = None) -> dict[str, Tensor]:
        """The report of each image, as of `decoding.generate`; `logits`, `evidence` and `features` as of `forward`.

        In evaluation mode; each part gets its own mode back. chosen: the class of w^c, if not the predicted one.
        """
        modes = {module: module.training for module in self.modules()}
        self.eval()
        try:
            features, logits, c = self.see(image, chosen)
        finally:
            for module, mode in modes.items():
                module.training = mode
        written = generate(self.language, features, c, longest=longest, beam=beam)
        return {**written, "logits": logits, "evidence": c, "features": features}

    def see(self, image: Tensor, chosen: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """What the language model is given: `features`, `logits` and `evidence` as of `forward`, without its words."""
        features = self.image_model.features(image)
        logits = self._classify(features)
        c = evidence_of(features, self.image_model.classifier, logits.argmax(dim=1) if chosen is None else chosen)
        return features, logits, c

    def _classify(self, features: Tensor) -> Tensor:
        return self.image_model.classifier(features.mean(dim=(2, 3)))                      # eq. 3


def evidence_of(features: Tensor, classifier: nn.Linear, chosen: Tensor) -> Tensor:
    """c = (w^c)^T C(I): how much each place speaks for the class `chosen` (Zhang et al., eq. 9).

    features (B, C, h, w), chosen int64 (B,) -> (B, P). Gradients reach the features, not the classifier.
    """
    return torch.einsum("bchw,bc->bhw", features, classifier.weight.detach()[chosen]).flatten(1)


def class_maps(features: Tensor, classifier: nn.Linear) -> Tensor:
    """c for every class: the class attention of AAS (Zhang et al., Fig. 6), (B, C, h, w) -> (B, classes, h, w).

    The mean over the places and the bias of the class make its logit (eq. 4).
    """
    return torch.einsum("bchw,kc->bkhw", features, classifier.weight)
