"""The graphs next to the server's converter are those that this code writes."""

from __future__ import annotations

from pathlib import Path

from export import pixel_graphs


def test_the_shipped_graphs_are_up_to_date(tmp_path: Path) -> None:
    written, shipped = pixel_graphs.write(tmp_path), list(pixel_graphs.graphs())
    assert len(shipped) == 3
    for one, other in zip(written, shipped, strict=True):
        assert one.read_bytes() == other.read_bytes(), "run python -m export.pixel_graphs"
