"""Fig. 5: how a heat map is made from a raw map and an image."""

import numpy as np

from mdlib.explain import overlay


def steps(image: np.ndarray, raw_map: np.ndarray, signal: bool = True) -> dict[str, np.ndarray]:
    """Picture by title, uint8: the map (h, w) scaled to its maximum, upsampled, coloured, and laid over the image.

    image uint8 (H, W). A map without signal stays 0, and the image as it is. For `map_plots.images`.
    """
    scaled = overlay.normalize(raw_map, signal)
    large = np.rint(overlay.upsample(scaled, image.shape)).astype(np.uint8)
    return {f"map, {scaled.shape[0]} × {scaled.shape[1]}": scaled,
            f"bilinear to {image.shape[0]} × {image.shape[1]}": large,
            "coloured": overlay.colour(large), "over the image": overlay.blend(image, scaled)}
