"""Pictures and maps as the bytes that travel to a page, one behind another, and the words that say where they are."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from mdlib.explain import overlay


def pictures(images: Sequence[np.ndarray], data: bytearray, side: int, lossless: bool = False) -> dict:
    """Append uint8 images of one size, each as the smaller of PNG and WebP; say where they are, and what they are.

    None is sent with more than `side` pixels on a side. One that is there already (a twin differs only where the
    finding was) is not sent again. WebP takes a fraction of the bytes, but changes pixels by a few grey levels, unless
    `lossless`.
    """
    at, types = [], []
    webp = {"lossless": True} if lossless else {"quality": 85, "method": 6}
    for image in images:
        picture = Image.fromarray(image)
        picture.thumbnail((side, side), Image.Resampling.LANCZOS)
        files = {}
        for kind, options in {"PNG": {"optimize": True}, "WEBP": webp}.items():
            file = io.BytesIO()
            picture.save(file, kind, **options)
            files[f"image/{kind.lower()}"] = file.getvalue()
        kind = min(files, key=lambda name: len(files[name]))
        start = data.find(files[kind])
        at += [len(data) if start < 0 else start, len(files[kind])]
        types.append(kind)
        data += files[kind] if start < 0 else b""
    return {"at": at, "types": types, "width": picture.width, "height": picture.height}


def maps(values: np.ndarray, signal: np.ndarray | None, data: bytearray) -> dict:
    """Append maps (S, K, h, w); say where they are, their shape, the maximum of each and whether it has signal.

    A map of zeros has none, whatever is claimed; one that is negative everywhere may have. All slices of a class are
    stretched as one long picture, so by one maximum.
    """
    slices, count, height, width = values.shape
    signal = values.any(axis=(2, 3)) & (True if signal is None else signal)
    long = np.where(signal[..., None, None], values, 0).swapaxes(0, 1).reshape(count, slices * height, width)
    stretched = overlay.normalize(long).reshape(count, slices, height, width).swapaxes(0, 1)
    at, peak = len(data), [float(f"{value:.3g}") for value in values.max(axis=(2, 3)).ravel()]
    data += stretched.tobytes()
    return {"at": at, "count": count, "height": height, "width": width, "peak": peak, "signal": signal.ravel().tolist()}
