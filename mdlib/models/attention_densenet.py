"""DenseNet-121 that classifies by attended local features: attA and attB (Tan et al., section 2.2, Fig. 3)."""

from typing import Any

import torch
from torch import Tensor, nn

from mdlib.errors import SettingsError
from mdlib.models.attention import NORMALISE, ConcatAttention, SumAttention
from mdlib.models.backbones import Classifier, ImageNetInput, densenet_features, xavier_normal

VARIANTS = {"attA": SumAttention, "attB": ConcatAttention}


class AttentionDenseNet(nn.Module):
    r"""DenseNet-121 whose classifier sees three attended vectors in place of the global one (Tan et al., Fig. 3).

    L^s   = output of transition s, after its pooling, s = 1, 2, 3            (B, C_s, h_s, w_s)
    g     = mean over pixels of relu(norm5), not given to the classifier      (B, G)
    c_i^s = <u^s, l_i^s + g> (attA, l projected to G channels)                eq. 2
            <u^s, {l_i^s, g}> (attB)                                          eq. 3
    a_i^s = softmax of c^s over the pixels                                    eq. 4
    g_a^s = sum_i a_i^s l_i^s, with the projected l in attA                   eq. 5
    logits = W {g_a^1, g_a^2, g_a^3} + b

    7,920,527 weights (attA) and 6,971,279 (attB), Table 2: only without biases in the projections and in u.
    Under the softmax g cancels: the 2,160,128 weights of denseblock4 and norm5 (attB: and 3,072 of u) get no
    gradient, and Grad-CAM at norm5 is rounding noise. normalise="sigmoid" (ours) makes them count.
    """

    def __init__(self, variant: str, classes: int = 15, *, nonimage: bool = False, normalise: str = "softmax",
                 pretrained: bool = False, growth: int = 32, blocks: tuple[int, ...] = (6, 12, 24, 16),
                 stem: int = 64, output_stride: int = 32):
        super().__init__()
        _refuse_unknown("variant", variant, VARIANTS)
        _refuse_unknown("normalise", normalise, NORMALISE)
        self.input = ImageNetInput()
        self.features = densenet_features(pretrained, growth, blocks, stem, output_stride)
        transitions = [layer for name, layer in self.features.named_children() if name.startswith("transition")]
        self.attention = nn.ModuleList(
            VARIANTS[variant](layer.conv.out_channels, self.features.norm5.num_features, normalise)
            for layer in transitions)
        xavier_normal(self.attention)
        self.classifier = Classifier(sum(part.out for part in self.attention), classes, nonimage)

    def forward(self, image: Tensor, nonimage: Tensor | None = None) -> dict[str, Tensor | list[Tensor]]:
        """image (B, 1 or 3, H, W) in [0, 1], nonimage (B, 3) ->

        {"logits": (B, classes), "attention": the weights a^s of eq. 5, three maps (B, 1, h_s, w_s), finest first}.
        """
        x, local = self.input(image), []
        for name, layer in self.features.named_children():
            x = layer(x)
            if name.startswith("transition"):
                local.append(x)                                                            # L^s
        g = x.mean(dim=(2, 3))                                                             # (B, G)
        attended, attention = zip(*(part(l, g) for part, l in zip(self.attention, local, strict=True)), strict=True)
        return {"logits": self.classifier(torch.cat(attended, dim=1), nonimage), "attention": list(attention)}


def att_a(classes: int = 15, **options: Any) -> AttentionDenseNet:
    """DenseNet-121-attA: 7,920,527 weights (Tan et al., Table 2); options as in AttentionDenseNet."""
    return AttentionDenseNet("attA", classes, **options)


def att_b(classes: int = 15, **options: Any) -> AttentionDenseNet:
    """DenseNet-121-attB: 6,971,279 weights (Tan et al., Table 2); options as in AttentionDenseNet."""
    return AttentionDenseNet("attB", classes, **options)


def _refuse_unknown(parameter: str, value: str, known: dict) -> None:
    if value not in known:
        raise SettingsError(f"unknown value {value!r}", f"parameter {parameter}", f"Use one of {', '.join(known)}.")
