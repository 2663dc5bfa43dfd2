"""Networks that answer with whole reports and their attention, for whoever calls a network with images in batches."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from mdlib.models.decoding import log_likelihood
from mdlib.models.mdnet import MDNet, class_maps


class ReportWriter(nn.Module):
    """An MDNet that writes a report about each image."""

    def __init__(self, model: MDNet, longest: int, beam: int):
        super().__init__()
        self.model, self.longest, self.beam = model, longest, beam

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """image (B, 3, H, W) -> the outputs of `MDNet.report`."""
        return self.model.report(image, longest=self.longest, beam=self.beam)


class ClassAttention(nn.Module):
    """An image model with the class attention of AAS (Zhang et al., Fig. 6), of an image and its horizontal flip."""

    def __init__(self, image_model: nn.Module):
        super().__init__()
        self.image_model = image_model

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """image (B, 3, H, W) -> `logits` (B, classes); `maps`, and `hflip_maps` of the flip, (B, classes, h, w)."""
        features, flipped = (self.image_model.features(each) for each in (image, image.flip(3)))
        return {"logits": self.image_model.classifier(features.mean(dim=(2, 3))),
                "maps": class_maps(features, self.image_model.classifier),
                "hflip_maps": class_maps(flipped, self.image_model.classifier)}


class ReportAttention(nn.Module):
    """An MDNet that writes, with its attention for its own words, for those on the flipped image, and for fixed words.

    typical: int64 (K, T), sentences that are the same for all images. Attention that follows the image flips with it,
    and differs from that for the same words on other images.
    """

    def __init__(self, model: MDNet, typical: Tensor, longest: int, beam: int):
        super().__init__()
        self.writer = ReportWriter(model, longest, beam)
        self.register_buffer("typical", typical)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """image (B, 3, H, W) -> `words` (B, K, T) and their `attention` (B, K, T, P), as of `MDNet.report`;

        `hflip`, the attention for the same words and the same class, of the image flipped horizontally; `typical`, the
        attention for the typical sentences; `logits`, `maps` and `hflip_maps` as of `ClassAttention`.
        """
        model, written = self.writer.model, self.writer(image)
        chosen, words = written["logits"].argmax(dim=1), written["words"]
        flipped = model(image.flip(3), words, chosen=chosen)
        typical = model(image, self.typical.expand(len(image), -1, -1), chosen=chosen)
        classifier = model.image_model.classifier
        return {"words": words, "attention": written["attention"], "hflip": flipped["attention"],
                "typical": typical["attention"], "logits": written["logits"],
                "maps": class_maps(written["features"], classifier),
                "hflip_maps": class_maps(flipped["features"], classifier)}


@torch.inference_mode()
def in_batches(model: nn.Module, image: Tensor, batch_size: int = 32) -> dict[str, Tensor]:
    """The outputs of `model` for images (N, 3, H, W), in batches on its device: name -> (N, ...), on the CPU."""
    device = next(model.parameters()).device
    parts = [{name: part.cpu() for name, part in model(some.to(device)).items()} for some in image.split(batch_size)]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


@torch.inference_mode()
def report_likelihood(model: MDNet, images: Iterable[Tensor], words: Tensor) -> Tensor:
    """log p of N reports, words int64 (N, K, T), for each of M images that come in batches (B, 3, H, W): (N, M).

    Each image is looked at once, whatever the number of reports; see `decoding.log_likelihood`.
    """
    seen = (model.see(image) for image in images)
    return torch.cat([log_likelihood(model.language, features, c, words) for features, _, c in seen], dim=1)
