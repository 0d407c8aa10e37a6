"""Settings that depend on each other."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from server.settings import VideoSettings

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLjSw"


def test_calls_can_be_signed_and_their_secret_is_not_shown() -> None:
    settings = VideoSettings(callback_hosts=("hooks.example.org",), callback_secret=SECRET)
    assert settings.callback_secret is not None
    assert settings.callback_secret.get_secret_value() == SECRET
    assert SECRET not in repr(settings)


def test_hosts_without_a_secret_are_refused() -> None:
    with pytest.raises(ValidationError, match="needs a callback_secret"):
        VideoSettings(callback_hosts=("hooks.example.org",))


@pytest.mark.parametrize("secret", ["", "secret", "whsec_c2hvcnQ=", SECRET + "!", SECRET * 4])
def test_a_weak_or_malformed_secret_is_refused(secret: str) -> None:
    with pytest.raises(ValidationError, match="24 to 64 random bytes"):
        VideoSettings(callback_secret=secret)
