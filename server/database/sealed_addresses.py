"""Addresses as they are stored: those of a definition without secrets, next to the whole ones,
sealed; and those of callbacks, always sealed, because their paths are often secrets too."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from server.security.sealing import Seal, without_secrets

ADDRESSES = ("url", "publish")
"""The fields of a definition that may contain a password."""

SEALED = "sealed"


def sealed(definition: Mapping[str, Any], seal: Seal) -> dict[str, Any]:
    """Return the definition to store; it is unchanged if its addresses contain no secret."""
    whole = {name: definition[name] for name in ADDRESSES if definition.get(name) is not None}
    shown = {name: without_secrets(url) for name, url in whole.items()}
    if shown == whole:
        return dict(definition)
    return {**definition, **shown, SEALED: seal.close(json.dumps(whole))}


def unsealed(stored: Mapping[str, Any], seal: Seal) -> tuple[dict[str, Any], bool]:
    """Return the definition that was stored, and whether all of it could be read.

    If the secret has changed since, the addresses remain without user name, password and query.
    """
    definition = {name: value for name, value in stored.items() if name != SEALED}
    if SEALED not in stored:
        return definition, True
    whole = seal.open(stored[SEALED])
    return definition | (json.loads(whole) if whole is not None else {}), whole is not None


def is_sealed_callback(stored: str) -> bool:
    """Return whether a stored callback is sealed; an older version stored the address itself."""
    return not stored.startswith(("http:", "https:"))


def sealed_callback(url: str | None, seal: Seal) -> str | None:
    """Return the address of a callback as it is stored; None if there is none."""
    return None if url is None else seal.close(url)


def unsealed_callback(stored: str | None, seal: Seal) -> str | None:
    """Return the address that was stored; None if there is none, or the secret has changed."""
    return seal.open(stored) if stored is not None and is_sealed_callback(stored) else stored
