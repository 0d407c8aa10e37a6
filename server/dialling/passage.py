"""How FFmpeg reaches a URL: through a relay, which makes and checks every connection."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from server.dialling.dial import Guard
from server.dialling.relay import Hold, HttpRelay, Relay, RtspRelay
from server.errors import SourceForbidden
from server.security.addresses import PORTS, host_and_port


@dataclass(frozen=True, slots=True)
class Passage:
    """The URL to give to FFmpeg, and the options that go with it."""

    url: str = field(repr=False)
    options: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def passage(url: str, guard: Guard | None, hold: Hold | None = None) -> Iterator[Passage]:
    """Yield how to reach a URL: directly if there is no guard.

    With ``hold`` the server connects at once, but passes nothing on before ``hold`` has returned.
    Raises SourceForbidden if the URL may not be opened, even if that is found out only while it is
    read (instead of the resulting error), BadRequest if it has no clear host, and with ``hold``
    SourceUnreachable.
    """
    if guard is None:
        yield Passage(url)
        return
    host, port = host_and_port(url)
    # Other schemes, which the operator has to allow by name, have no redirects.
    if hold is None and not guard.rules.is_strict and urlsplit(url).scheme not in PORTS:
        guard.addresses(host)
        yield Passage(url)
        return
    relay, way = _relayed(url, host, port, guard, hold)
    try:
        if hold is not None:
            relay.prepare(host, port)
        yield way
    except Exception:
        if relay.fault is not None:
            raise relay.fault from None
        raise
    finally:
        relay.close()


def _relayed(
    url: str, host: str, port: int, guard: Guard, hold: Hold | None
) -> tuple[Relay, Passage]:
    parts = urlsplit(url)
    if parts.scheme not in PORTS:
        raise SourceForbidden(
            f"The server cannot check where {parts.scheme[:16]}:// leads: use "
            f"{', '.join(sorted(PORTS))}."
        )
    guard.addresses(host)
    if parts.scheme in ("http", "https"):
        _use_proxy_for_all()
        proxy = HttpRelay(guard, hold)
        return proxy, Passage(url, {"http_proxy": f"http://127.0.0.1:{proxy.port}"})
    relay = RtspRelay(guard, host, port, secure=parts.scheme == "rtsps", hold=hold)
    user, at, _ = parts.netloc.rpartition("@")
    inner = parts._replace(scheme="rtsp", netloc=f"{user}{at}127.0.0.1:{relay.port}")
    return relay, Passage(inner.geturl())


def _use_proxy_for_all() -> None:
    """Hide ``no_proxy`` from FFmpeg, which would bypass the proxy; other libraries also read
    ``NO_PROXY``."""
    if (hosts := os.environ.pop("no_proxy", None)) is not None:
        os.environ.setdefault("NO_PROXY", hosts)
