"""The server as an agent's child process: started, asked for its health, drained, killed."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import httpx

from launcher.claim import claim, is_free
from launcher.options import ServerOptions, environment_of, folder_of, url_of
from launcher.supervision import Seen

HEALTH_SECONDS = 2.0

_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class ServerChild:
    """Mutable state: the process, its port and its last exit status, each None if there is none.

    The server drains when its standard input ends, which also happens if the agent dies.
    """

    def __init__(self, number: int, options: ServerOptions, node: str) -> None:
        self._number, self._options, self._node = number, options, node
        self._process: subprocess.Popen[bytes] | None = None
        self.port: int | None = None
        self.exit_code: int | None = None

    @property
    def folder(self) -> Path:
        """Return the server's own folder."""
        return folder_of(self._options, self._number)

    @property
    def pid(self) -> int | None:
        """Return the id of the process while it runs."""
        return self._process.pid if self._process else None

    @property
    def url(self) -> str | None:
        """Return the address for clients while the process runs."""
        if self._process is None or self.port is None:
            return None
        return url_of(self._options, self._node, self.port)

    def look(self) -> Seen:
        """Return the observed state of the server. Raises OSError if its folder cannot be used."""
        if self._process is None or self._has_ended(self._process):
            return Seen(running=False, can_start=is_free(self.folder))
        answer = self._health()
        return Seen(running=True, answers=answer is not None, ready=answer == httpx.codes.OK)

    def start(self) -> None:
        """Start a server on a free port. Raises OSError if no port is free or the process cannot be
        started."""
        assert self._process is None, "a server runs already"
        if (held := claim(self.folder)) is None:
            return
        try:
            self.port = free_port(self._options, self._number)
            self._process = self._started(self.port, held)
        finally:
            os.close(held)

    def drain(self) -> None:
        """Make the server drain, by the end of its standard input. Idempotent."""
        if self._process and self._process.stdin:
            self._process.stdin.close()

    def kill(self) -> None:
        """End the process at once. Idempotent."""
        if self._process:
            self._process.kill()

    def _started(self, port: int, held: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "server", "serve", "--drain-on-eof", *self._options.flags],
            env=environment_of(self._options, self._number, self._node, port),
            stdin=subprocess.PIPE,
            pass_fds=[held],
            # A signal to the agent's group must not reach the server, which drains.
            start_new_session=True,
        )

    def _has_ended(self, process: subprocess.Popen[bytes]) -> bool:
        if (code := process.poll()) is None:
            return False
        self.drain()
        self._process, self.exit_code = None, code
        return True

    def _health(self) -> int | None:
        """Return the status of /health/ready, None if nothing answers."""
        host = _WILDCARDS.get(self._options.host, self._options.host)
        address = f"[{host}]" if ":" in host else host
        url = f"{self._options.scheme}://{address}:{self.port}/health/ready"
        try:
            # The certificate is for the name that clients use.
            with httpx.Client(verify=False, trust_env=False, timeout=HEALTH_SECONDS) as client:
                return client.get(url).status_code
        except httpx.HTTPError:
            return None


def free_port(options: ServerOptions, number: int) -> int:
    """Return a free port of the range: always the same one for an agent, if it is free.

    Raises OSError if none is free.
    """
    first, last = options.ports
    count = last - first + 1
    for offset in range(count):
        port = first + (number - 1 + offset) % count
        if _is_free(options.host, port):
            return port
    raise OSError(f"no port from {first} to {last} is free")


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError:
        return False
    return True
