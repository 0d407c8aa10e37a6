import pytest

from clients.python.addresses import shown, stream_address, web_address
from clients.python.errors import ClientError


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("http://host:8000", "ws://host:8000/v1/stream"),
        ("https://host/", "wss://host/v1/stream"),
        ("ws://host", "ws://host/v1/stream"),
        ("host:8000", "ws://host:8000/v1/stream"),
        ("http://[::1]:8000", "ws://[::1]:8000/v1/stream"),
        ("wss://host/v1/streams/door/masks", "wss://host/v1/streams/door/masks"),
    ],
)
def test_streams(given: str, address: str) -> None:
    assert stream_address(given) == address


def test_the_model_goes_into_the_query() -> None:
    assert stream_address("http://h?a=1", "cam vid") == "ws://h/v1/stream?a=1&model=cam+vid"


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("host:8000", "http://host:8000"),
        ("ws://host/v1/stream", "http://host"),
        ("https://host/mastream/", "https://host/mastream"),
        ("https://host/mastream/v1", "https://host/mastream"),
    ],
)
def test_the_web(given: str, address: str) -> None:
    assert web_address(given) == address


def test_no_password_is_shown() -> None:
    assert shown("ws://me:secret@host:1/v1/stream") == "ws://host:1/v1/stream"
    assert shown("http://host/a@b") == "http://host/a@b"
    assert shown("rtsp://me:a@b:c@[::1]:8/x?y=z@w") == "rtsp://[::1]:8/x?y=z@w"
    assert shown("not 'ftp://me:secret@h' or rtsp://u@c") == "not 'ftp://h' or rtsp://c"
    assert shown("clip@2.mp4") == "clip@2.mp4"


@pytest.mark.parametrize("given", ["ftp://me:secret@host", "http://me:secret@host:port"])
def test_no_password_is_shown_of_what_is_no_address(given: str) -> None:
    with pytest.raises(ClientError) as caught:
        web_address(given)
    assert "secret" not in str(caught.value) and "host" in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [
        "",
        "ftp://host",
        "http://",
        "http://h:port",
        "http://h:0",
        "http://[::",
        "http://[v1.x]",
        "http://a b",
        "http://h/a b",
        "http://a\tb",
        "http://a\x7fb",
        "http://a..b",
        f"http://{'a' * 64}.de",
        "http://xn--a",
    ],
)
def test_no_address(given: str) -> None:
    with pytest.raises(ClientError, match="give one like"):
        stream_address(given)
    with pytest.raises(ClientError, match="give one like"):
        web_address(given)
