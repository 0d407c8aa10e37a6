"""The package that users import."""

from __future__ import annotations

import tomllib
from pathlib import Path

import clients.python
import mastream
from clients.python.errors import ClientError
from server.app import VERSION

ROOT = Path(__file__).parents[2]


def test_it_offers_all_of_the_client() -> None:
    assert set(mastream.__all__) == {*clients.python.__all__, "__version__"}
    for name in clients.python.__all__:
        assert getattr(mastream, name) is getattr(clients.python, name)


def test_it_offers_every_error() -> None:
    kinds = {ClientError}
    while found := {below for kind in kinds for below in kind.__subclasses__()} - kinds:
        kinds |= found
    ours = {kind.__name__ for kind in kinds if kind.__module__ == "clients.python.errors"}
    assert ours <= set(mastream.__all__)


def test_there_is_one_version() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert mastream.__version__ == VERSION == declared
