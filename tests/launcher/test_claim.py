"""A claim lasts as long as a process that inherited it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from launcher.claim import claim, is_free


def test_a_folder_is_held_until_the_process_that_inherited_the_claim_has_ended(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "new" / "agent-1"
    held = claim(folder)
    assert held is not None
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[held]
    ) as holder:
        os.close(held)
        assert claim(folder) is None
        assert not is_free(folder)
        holder.kill()
    assert is_free(folder)
    assert is_free(folder), "looking takes nothing"
