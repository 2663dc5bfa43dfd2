"""Picture files that programs do not agree about, or that are damaged: what a reader of pictures must refuse."""

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

PIXELS = np.arange(48 * 64 * 3, dtype=np.uint32).reshape(48, 64, 3).astype(np.uint8)


def plain(path: Path) -> None:
    Image.fromarray(PIXELS).save(path)


def cmyk(path: Path) -> None:
    Image.fromarray(PIXELS).convert("CMYK").save(path)


def alpha(path: Path) -> None:
    Image.fromarray(PIXELS).convert("RGBA").save(path)


def transparent(path: Path) -> None:
    """A PNG, whatever the name says, with a palette of which one colour is see-through."""
    Image.fromarray(PIXELS).quantize().save(path, "PNG", transparency=3)


def sixteen_bits_grey(path: Path) -> None:
    Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257).save(path)


def sixteen_bits_colour(path: Path) -> None:
    """Pillow writes none, but reads one as if it had 8 bits."""
    height, width = PIXELS.shape[:2]
    values = {256: width, 257: height, 259: 1, 262: 2, 277: 3, 278: height, 284: 1}
    strip = (PIXELS.astype("<u2") * 257).tobytes()
    count = len(values) + 3
    bits, data = 8 + 2 + 12 * count + 4, 8 + 2 + 12 * count + 4 + 6
    tags = sorted([*((tag, 4, 1, value) for tag, value in values.items()), (258, 3, 3, bits), (273, 4, 1, data),
                   (279, 4, 1, len(strip))])
    path.write_bytes(b"II*\0" + struct.pack("<IH", 8, count) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
                     + struct.pack("<I3H", 0, 16, 16, 16) + strip)


def sixteen_bits_png(path: Path) -> None:
    """A PNG with 16 bits for each colour, whatever the name says."""
    height, width = PIXELS.shape[:2]
    rows = (PIXELS.astype(">u2") * 257).reshape(height, -1)
    raw = b"".join(b"\0" + row.tobytes() for row in rows)

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0))
                     + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b""))


def turned(path: Path, kind: str | None = None) -> None:
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(PIXELS).save(path, kind, exif=exif)


def turned_jpeg(path: Path) -> None:
    turned(path, "JPEG")


def truncated(path: Path) -> None:
    plain(path)
    data = path.read_bytes()
    path.write_bytes(data[:len(data) * 2 // 3])


def header_only(path: Path) -> None:
    plain(path)
    path.write_bytes(path.read_bytes()[:20])


def bomb(path: Path, side: int = 40_000) -> None:
    """A header that announces so many pixels along each side."""
    tags = [(256, 4, 1, side), (257, 4, 1, side), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8),
            (277, 3, 1, 1), (278, 4, 1, side), (279, 4, 1, 1)]
    path.write_bytes(b"II*\0" + struct.pack("<IH", 8, len(tags)) + b"".join(struct.pack("<HHII", *t) for t in tags)
                     + struct.pack("<I", 0))


def doubtful(path: Path) -> None:
    """More pixels than Pillow takes without a warning, fewer than it refuses."""
    bomb(path, 10_000)


def text(path: Path) -> None:
    path.write_text("no image")


def empty(path: Path) -> None:
    path.write_bytes(b"")


ODD = {cmyk: "the colours are CMYK", alpha: "alpha channel", transparent: "alpha channel",
       **dict.fromkeys((sixteen_bits_grey, sixteen_bits_colour, sixteen_bits_png), "more than 8 bits"),
       turned: "EXIF orientation is 6", turned_jpeg: "EXIF orientation is 6", truncated: "cut off",
       header_only: "truncated or damaged|no picture", bomb: "decompression bomb", doubtful: "decompression bomb",
       text: "no picture", empty: "empty"}
