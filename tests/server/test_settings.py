"""Settings that depend on each other."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from server.settings import ClusterSettings, Settings, VideoSettings

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLjSw"


def test_calls_can_be_signed_and_their_secret_is_not_shown() -> None:
    settings = VideoSettings(callback_hosts=("hooks.example.org",), callback_secret=SECRET)
    assert settings.callback_secret is not None
    assert settings.callback_secret.get_secret_value() == SECRET
    assert SECRET not in repr(settings)


def test_results_stay_in_a_folder_that_servers_share(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="folder and storage cannot be combined"):
        VideoSettings(folder=tmp_path, storage="s3://bucket/folder")


@pytest.mark.parametrize("url", ["s3://bucket/folder", "gs://b", "file:///mnt/videos"])
def test_a_folder_is_no_url(url: str) -> None:
    """A local folder of that name would be made otherwise."""
    for given in ({"folder": url}, {"videos": {"folder": url}}, {"engine": {"cache": url}}):
        with pytest.raises(ValidationError, match="must be a folder that is mounted"):
            Settings(**given)
    assert VideoSettings(folder=Path("a:b/c")).folder == Path("a:b/c")


def test_hosts_without_a_secret_are_refused() -> None:
    with pytest.raises(ValidationError, match="needs a callback_secret"):
        VideoSettings(callback_hosts=("hooks.example.org",))


@pytest.mark.parametrize("secret", ["", "secret", "whsec_c2hvcnQ=", SECRET + "!", SECRET * 4])
def test_a_weak_or_malformed_secret_is_refused(secret: str) -> None:
    with pytest.raises(ValidationError, match="24 to 64 random bytes"):
        VideoSettings(callback_secret=secret)


def test_leases_allow_for_one_late_renewal() -> None:
    longer = ClusterSettings(lease_seconds=30, renew_seconds=14, margin_seconds=2)
    assert longer.renew_seconds == 14
    for wrong in ({"renew_seconds": 3.0}, {"renew_seconds": 1.3}, {"margin_seconds": 1.5}):
        with pytest.raises(ValidationError, match="one late renewal would lose all streams"):
            ClusterSettings(**wrong)


def test_servers_count_as_alive_for_at_least_two_reports() -> None:
    assert ClusterSettings(report_seconds=2).alive_seconds == 4
    with pytest.raises(ValidationError, match="would make the others believe"):
        ClusterSettings(report_seconds=2.1)
    with pytest.raises(ValidationError):
        ClusterSettings(report_seconds=0)
