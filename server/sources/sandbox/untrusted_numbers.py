"""Reading numbers of a process that is not trusted: those that would take forever to compute, spoil
a sum or fit into no column are refused. Pure.
"""

from __future__ import annotations

import re
from fractions import Fraction
from math import isfinite
from typing import Any

MOST = 2**53
"""The largest count; databases and JSON cannot keep every larger number."""

_FRACTION = re.compile(r"-?\d{1,40}(/\d{1,40})?", re.ASCII)
"""Other numbers, such as 1e999999999, would take forever."""


def count(value: Any) -> int:
    """Return a count. Raises ValueError, TypeError or OverflowError if it is not one."""
    number = int(value)
    if not 0 <= number <= MOST:
        raise ValueError("no count")
    return number


def finite(value: Any) -> float:
    """Return a number; JSON's may be NaN or infinite, which spoils every sum. Raises ValueError,
    TypeError or OverflowError if it is not one."""
    number = float(value)
    if not isfinite(number):
        raise ValueError("no finite number")
    return number


def fraction(text: str) -> Fraction:
    """Return an exact number. Raises ValueError, TypeError or ZeroDivisionError if it is not
    one."""
    if not _FRACTION.fullmatch(text):
        raise ValueError("no fraction")
    return Fraction(text)
