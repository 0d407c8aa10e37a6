"""How an agent runs its server: values that travel from the command to the agents."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from launcher.errors import WrongUse
from launcher.supervision import Terms

PREFIX = "MASTREAM_"
THREADS = "OMP_NUM_THREADS"
"""Ray sets it for its workers, to 1 for an agent; a server must not inherit that."""

HIGHEST_PORT = 65535


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """``folder`` holds one folder per agent, on the agent's machine; ``ports`` are the first and
    last that a server may listen on; ``advertise`` is its address for clients, in which {node},
    {ip} and {port} are replaced; ``settings`` are environment variables, ``flags`` those of
    ``serve``."""

    folder: Path
    host: str = "127.0.0.1"
    ports: tuple[int, int] = (8000, 8099)
    advertise: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    terms: Terms = field(default_factory=Terms)

    @property
    def scheme(self) -> str:
        """Return https if the settings name a certificate, otherwise http."""
        return "https" if self.settings.get(f"{PREFIX}SECURITY__CERTIFICATE") else "http"

    @property
    def is_local(self) -> bool:
        """Return whether only programs on the same machine can connect."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def folder_of(options: ServerOptions, number: int) -> Path:
    """Return the folder of agent ``number``'s server."""
    return options.folder / f"agent-{number}"


def url_of(options: ServerOptions, node: str, port: int) -> str:
    """Return the address that a server on machine ``node`` gives to clients.

    Raises WrongUse if the template has other fields than {node}, {ip} and {port}.
    """
    name = "127.0.0.1" if options.is_local else node
    template = options.advertise or f"{options.scheme}://{name}:{{port}}"
    ip = _address_of(node) if "{ip}" in template else ""
    try:
        return template.format(node=node, ip=ip, port=port)
    except (LookupError, ValueError) as error:
        raise WrongUse(
            f"The address {template!r} is not a template: write it like https://{{node}}:{{port}}."
        ) from error


def _address_of(node: str) -> str:
    """Return the address of a machine, its name if none is known."""
    try:
        found = socket.getaddrinfo(node, None, type=socket.SOCK_STREAM)[0][4][0]
    except OSError:
        return node
    return f"[{found}]" if ":" in str(found) else str(found)


def environment_of(options: ServerOptions, number: int, node: str, port: int) -> dict[str, str]:
    """Return all environment variables of a server: the agent's, then the options'."""
    inherited = {name: value for name, value in os.environ.items() if name != THREADS}
    own = {
        "FOLDER": str(folder_of(options, number)),
        "HOST": options.host,
        "PORT": str(port),
        "CLUSTER__ADVERTISE": url_of(options, node, port),
        "CLUSTER__NODE": node,
    }
    return inherited | dict(options.settings) | {f"{PREFIX}{k}": v for k, v in own.items()}


def settings_of(environment: Mapping[str, str]) -> dict[str, str]:
    """Return those environment variables of a command that are passed on to its servers."""
    return {k: v for k, v in environment.items() if k.startswith(PREFIX) or k == THREADS}


def ports_of(text: str) -> tuple[int, int]:
    """Return the ports that ``FIRST-LAST`` or ``PORT`` names. Raises ValueError."""
    first, _, last = text.partition("-")
    low, high = int(first), int(last or first)
    if not 0 < low <= high <= HIGHEST_PORT:
        raise ValueError(f"{text} is not a range of ports")
    return low, high
