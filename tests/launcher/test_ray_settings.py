"""Every setting of Ray is one that the installed Ray knows."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from launcher.errors import NoRay
from launcher.ray_settings import SETTINGS, apply_settings, check_token

IN_PYTHON = {
    "RAY_USAGE_STATS_ENABLED": "_common/usage/usage_constants.py",
    "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "_private/ray_constants.py",
}


def ray_folder() -> Path:
    found = find_spec("ray")
    if found is None or found.origin is None:
        pytest.skip("Ray is not installed: pip install mastream[ray]")
    return Path(found.origin).parent


@pytest.mark.parametrize("name", [one.name for one in SETTINGS])
def test_ray_knows_the_setting(name: str) -> None:
    """Ray ignores unknown ones silently. Its programs hold the names of those that they read,
    without the prefix; what its Python part reads is in its source."""
    folder = ray_folder()
    if source := IN_PYTHON.get(name):
        assert f'"{name}"' in (folder / source).read_text()
        return
    plain = b"RAY_AUTH_MODE" if name == "RAY_AUTH_MODE" else name.removeprefix("RAY_").encode()
    for program in ("raylet/raylet", "gcs/gcs_server"):
        assert plain in (folder / "core/src/ray" / program).read_bytes()


def test_what_the_user_has_set_stays() -> None:
    environment = {"RAY_AUTH_MODE": "disabled", "OTHER": "1"}
    apply_settings(environment)
    assert environment["RAY_AUTH_MODE"] == "disabled"
    assert environment["RAY_health_check_period_ms"] == "1000"
    assert len(environment) == len(SETTINGS) + 1


def test_a_token_is_a_variable_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = {"RAY_AUTH_MODE": "token"}
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    with pytest.raises(NoRay, match="ray get-auth-token --generate"):
        check_token(token)
    check_token(token | {"RAY_AUTH_TOKEN": "x"})
    check_token({"RAY_AUTH_MODE": "disabled"})
    (tmp_path / "file").touch()
    check_token(token | {"RAY_AUTH_TOKEN_PATH": str(tmp_path / "file")})
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").touch()
    check_token(token)
