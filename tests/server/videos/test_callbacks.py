"""Which addresses may be called, how calls are signed, and when they are repeated."""

from __future__ import annotations

import pytest

from server.errors import BadRequest
from server.videos.callbacks import LONGEST_DELAY, check_callback, delay, signed_headers

HOSTS = ("Hooks.example.org", "lab.example.org:8443", "[::1]:80")


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.org/done?job=1",
        "http://HOOKS.example.org",
        "https://hooks.example.org:443/",
        "https://lab.example.org:8443/x",
    ],
)
def test_an_allowed_host_may_be_called(url: str) -> None:
    assert check_callback(url, HOSTS) == url


def test_nobody_need_be_called() -> None:
    assert check_callback(None, ()) is None


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.example.org",
        "//hooks.example.org/",
        "ftp://hooks.example.org/",
        "https://example.org/",
        "https://evil.org/hooks.example.org",
        "https://hooks.example.org.evil.org/",
        "https://hooks.example.org:8443/",
        "https://lab.example.org/",
        "https://user:password@hooks.example.org/",
        "https://evil.org\\@hooks.example.org/",
        "https://evil.org#@hooks.example.org/",
        "https://hooks.example.org:x/",
        "https://[hooks.example.org/",
        "https://hooks.example.org/\r\nX: y",
        "https://hooks.example.org/" + "x" * 2048,
        "https://hooks.example.org/ü",
    ],
)
def test_any_other_is_refused(url: str) -> None:
    with pytest.raises(BadRequest):
        check_callback(url, HOSTS)


def test_by_default_no_host_is_allowed() -> None:
    with pytest.raises(BadRequest, match="MASTREAM_VIDEOS__CALLBACK_HOSTS"):
        check_callback("https://hooks.example.org/", ())


def test_a_call_is_signed_as_standard_webhooks_are() -> None:
    # Signed by the library standardwebhooks 1.1.0.
    headers = signed_headers(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLjSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330.9,
        b'{"test": 2432232314}',
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,q6KMVIJHk4Gs770FfR5f591Ftx7uVJSGl5wHV1ri978=",
    }


def test_pauses_double_up_to_an_hour() -> None:
    assert [delay(attempt, 0.0) for attempt in (1, 2, 3)] == [5.0, 10.0, 20.0]
    assert delay(1, 1.0) == 2.5
    assert delay(1000, 0.0) == LONGEST_DELAY
