"""Text of intervals."""

import math


def interval(low: float, high: float, digits: int = 2) -> str:
    """`0.68–0.74`; with signs where an end is below 0, `−0.01 to +0.02`; a dash for NaN."""
    if math.isnan(low) or math.isnan(high):
        return "–"
    if low < 0:
        return f"{low:+.{digits}f} to {high:+.{digits}f}".replace("-", "−")
    return f"{low:.{digits}f}–{high:.{digits}f}"
