"""Command line values that several commands share."""

from __future__ import annotations

import argparse
import re

PRECISIONS = ("fp32", "fp16")


def parse_size(text: str) -> tuple[int, int]:
    """Read ``WIDTHxHEIGHT`` as (height, width). Raises argparse.ArgumentTypeError if it is not."""
    found = re.fullmatch(r"(\d+)x(\d+)", text)
    if not found or 0 in (int(found[1]), int(found[2])):
        raise argparse.ArgumentTypeError(
            f"Give a size as WIDTHxHEIGHT, such as 480x352, not {text!r}."
        )
    return int(found[2]), int(found[1])
