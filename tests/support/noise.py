"""Whether bytes look random: the statistics behind "the file shows nothing"."""

from __future__ import annotations

import math
import zlib
from collections import Counter


def unevenness(data: bytes) -> float:
    """Chi-square of the 256 values against an even distribution, in standard deviations from what noise gives on average."""
    counts, even = Counter(data), len(data) / 256
    chi_square = sum((counts.get(byte, 0) - even) ** 2 / even for byte in range(256))
    return (chi_square - 255) / math.sqrt(2 * 255)


def packed(data: bytes) -> float:
    """Size after zlib over size before."""
    return len(zlib.compress(data, 9)) / len(data)
