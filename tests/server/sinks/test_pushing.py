"""The process that sends an overlay, if it ends before it should."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from living import open_files

from server.sinks import pushing
from server.sinks.pushing import PublishFailed, Push

PALETTE = np.array([(0, 0, 255), (255, 0, 0)], np.uint8)


def test_one_that_dies_before_it_reads_its_input_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pushing, "rtsp_push", SimpleNamespace(__name__="no.module", LIVE="live"))
    before = open_files()
    for _ in range(3):
        push = Push("rtsp://127.0.0.1:1/a", 48, 64, PALETTE)
        assert push._process.wait(30.0) == 1
        with pytest.raises(PublishFailed, match="has died"), push:
            pytest.fail("there is nobody to write to")
    assert open_files() == before
