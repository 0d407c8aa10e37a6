"""The service as a process: its socket, its ready line, its signals and its exit code."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from types import FrameType
from typing import Any

import uvicorn

from server import heap
from server.app import create_app
from server.commands.stdin_end import call_at_eof
from server.engines.base import Engine
from server.engines.info import EngineInfo
from server.errors import BadRequest, Fault
from server.security.exposure import host_and_port
from server.service.running import Service
from server.settings import SecuritySettings, Settings
from server.web.transports.body_pace import BodyPace
from server.web.transports.http_transport import HttpTransport
from server.web.transports.websocket_transport import StreamTransport

CUT_SECONDS = 1
"""How long connections may remain after draining before they are closed."""

BACKLOG = 1024

OPEN_FILES = 65_536
"""Files and sockets that may be open at once. Processes often start with a limit of 1,024, which is
less than the sockets of as many viewers as are allowed."""

STDIN = 0

_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}

_log = logging.getLogger(__name__)


def serve(
    settings: Settings,
    make: Callable[[], Engine] | None = None,
    *,
    drain_on_eof: bool = False,
) -> int:
    """Serve until a signal ends it; return the exit code: 0 after draining, 1 if it cannot start.

    ``make`` overrides the configured engine (for tests and benchmarks). With ``drain_on_eof`` the
    end of standard input acts as a signal does. Raises Fault if the folder cannot be written or the
    address cannot be bound.
    """
    heap.share_arenas()
    allow_open_files()
    check_folder(settings.folder)
    check_certificate(settings.security)
    listener = bind(settings.host, settings.port)
    app = create_app(settings, make)
    server = DrainingServer(_config(app, settings), app.state.service)
    if drain_on_eof:
        call_at_eof(STDIN, server.begin_to_drain)
    server.run(sockets=[listener])
    return server.exit_code


def allow_open_files() -> None:
    """Raise this process's limit of open files to OPEN_FILES, or as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # macOS allows less than it reports
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def check_folder(folder: Path) -> None:
    """Create the folder of uploads and results, before a model is loaded.

    Raises Fault if nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        remedy = "choose another --data"
        if isinstance(error, PermissionError):
            remedy = f"give it to the user that runs the server (uid {os.geteuid()}), or {remedy}"
        raise Fault(f"Cannot write to {folder}: {reason}; {remedy}.") from error


def check_certificate(security: SecuritySettings) -> None:
    """Raise BadRequest if the certificate or its key cannot be used."""
    if security.certificate is None:
        return
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
            security.certificate, security.private_key
        )
    except (OSError, ssl.SSLError) as error:
        raise BadRequest(
            f"Cannot use the certificate {security.certificate} with its private key: "
            f"{error.strerror or error}; check MASTREAM_SECURITY__CERTIFICATE and __PRIVATE_KEY."
        ) from error


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises Fault if the address cannot be bound."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        # A resolver's error numbers are negative and have no text in the system's table.
        number = error.errno or 0
        reason = (os.strerror(number) if number > 0 else str(error.strerror)).lower()
        raise Fault(f"Cannot listen on {host}:{port}: {reason}; choose another --port.") from error


class DrainingServer(uvicorn.Server):
    """uvicorn's server, which prints when it is ready and ends only after draining.

    The first signal makes it drain, the second ends the process at once.
    """

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self.exit_code = 0
        self._service = service
        self._announcing: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        assert sockets, "the socket is bound before the server begins"
        self._announcing = asyncio.create_task(self._announce(sockets[0]))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain, then stop. A service that could not start has logged why; log no more."""
        level = logging.DEBUG if self.exit_code else logging.INFO
        _log.log(level, "draining")
        await self._service.drain()
        await super().shutdown(sockets)
        _log.log(level, "stopped")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if self.should_exit:
            os._exit(128 + sig)
        self.should_exit = True

    def begin_to_drain(self) -> None:
        """Drain as after the first signal. Idempotent; any thread may call it."""
        self.should_exit = True

    async def _announce(self, listener: socket.socket) -> None:
        """Print the service's address once it is warm; end the process if it cannot start."""
        try:
            await self._service.loaded()
        except Exception:  # whatever it was, the service has logged it and cannot serve
            self.exit_code = 1
            self.should_exit = True
        else:
            heap.settle()
            print(ready_line(listener, self._service), flush=True)


def ready_line(listener: socket.socket, service: Service) -> str:
    """Return the line that the command prints once streams and videos are accepted.

    In a container it names the published address, if that is known.
    """
    worker, security = service.parts.worker, service.settings.security
    engines = ", ".join(_described(built) for built in worker.engines)
    scheme = "https" if security.certificate else "http"
    host, port = listener.getsockname()[:2]
    address = shown_address(host, port, security.published)
    return f"mastream is ready at {scheme}://{address} (model {worker.spec.name}, engine {engines})"


def shown_address(host: str, port: int, published: str | None) -> str:
    """Return the address for connecting to a server: this machine's if it listens on all
    addresses."""
    if published:
        host, port = host_and_port(published, port)
    return f"{_WILDCARDS.get(host, f'[{host}]' if ':' in host else host)}:{port}"


def _described(built: EngineInfo) -> str:
    return built.provider if built.device == "cpu" else f"{built.provider} on {built.device}"


def _config(app: Any, settings: Settings) -> uvicorn.Config:
    service: Service = app.state.service
    body_pace = partial(BodyPace, service.parts.fair_pace, service.metrics.held_back)
    return uvicorn.Config(
        app,
        http=partial(HttpTransport, make_pace=body_pace),  # type: ignore[arg-type]  # it is called
        loop="auto",
        lifespan="on",
        ws=StreamTransport,
        ws_max_size=settings.streams.max_message_bytes,
        ws_per_message_deflate=False,
        # StreamSocket watches for silent clients, and pongs are not read while `every` pauses.
        ws_ping_interval=None,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=CUT_SECONDS,
        forwarded_allow_ips=settings.security.proxies,
        ssl_certfile=settings.security.certificate,
        ssl_keyfile=settings.security.private_key,
    )
