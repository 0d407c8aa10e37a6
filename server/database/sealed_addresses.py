"""A definition as it is stored: its addresses without secrets, and the whole addresses sealed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from server.security.sealing import Seal, without_secrets

ADDRESSES = ("url", "publish")
"""The fields of a definition that may contain a password."""

SEALED = "sealed"


def sealed(definition: Mapping[str, Any], seal: Seal) -> dict[str, Any]:
    """Return what to store; the definition itself if its addresses contain no secret."""
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
