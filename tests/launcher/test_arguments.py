"""The command line, up to where another program's begins."""

from __future__ import annotations

from pathlib import Path

import pytest

from launcher.arguments import parse


def test_what_follows_the_dashes_is_passed_on() -> None:
    flags = parse(["up", "-n", "2", "--ports", "9000-9001", "--", "--engine", "fake"])
    assert (flags.n, flags.ports, flags.data) == (2, (9000, 9001), Path("data"))
    assert flags.rest == ["--engine", "fake"]
    assert parse(["node", "--", "--num-cpus=2"]).rest == ["--num-cpus=2"]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (["up"], "-n"),
        (["up", "-n", "0"], "give at least 1"),
        (["node", "--engines", "-1"], "give at least 0"),
        (["up", "-n", "1", "--ports", "2-1"], "not a range of ports"),
        (["up", "-n", "1", "--engine", "fake"], "unrecognized arguments"),
        (["down", "--", "x"], "down passes no arguments on"),
        (["drain"], "NODE|AGENT"),
        ([], "COMMAND"),
    ],
)
def test_wrong_use_ends_with_2(
    given: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(given)
    assert ended.value.code == 2
    assert reason in capsys.readouterr().err
