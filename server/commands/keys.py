"""``keys``: create, list, rotate and revoke API keys in the server's database, whether the server
runs or not."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime

from server.database.connection import open_database
from server.database.keys import KeyRows
from server.errors import NotFound
from server.security.keys import Key, Role, new_key, rotated
from server.security.secret import server_secret
from server.settings import Settings


def run_keys(flags: Namespace, settings: Settings) -> int:
    """Run one of the actions and return the exit code.

    Raises NotFound if there is no such key, Fault if the database or the secret cannot be used.
    """
    with closing(open_database(settings)) as database:
        rows = KeyRows(database)
        if flags.action == "add":
            _add(rows, flags, settings)
        elif flags.action == "list":
            print("\n".join(_lines(rows.all())))
        elif flags.action == "rotate":
            _rotate(rows, flags, settings)
        else:
            _revoke(rows, flags)
    return 0


def _add(rows: KeyRows, flags: Namespace, settings: Settings) -> None:
    pepper = server_secret(settings.folder, settings.security)
    streams = tuple(flags.streams.split(",")) if flags.streams else ()
    key, text = new_key(flags.name, Role(flags.role), streams, time.time(), pepper)
    rows.add(key)
    _show(key, text)


def _rotate(rows: KeyRows, flags: Namespace, settings: Settings) -> None:
    pepper = server_secret(settings.folder, settings.security)
    key, text = rotated(_find(rows, flags.id), time.time(), flags.overlap, pepper)
    if not rows.rotate(key):
        raise NotFound(f"The key {key.id} is revoked: make a new one.")
    _show(key, text)


def _revoke(rows: KeyRows, flags: Namespace) -> None:
    key = _find(rows, flags.id)
    rows.revoke(key.id, time.time())
    print(f"The key {key.id} ({key.name}) is revoked.")


def _find(rows: KeyRows, key_id: str) -> Key:
    key = rows.get(key_id)
    if key is None:
        raise NotFound(f"There is no key {key_id[:32]!r}: see `mastream keys list`.")
    return key


def _show(key: Key, text: str) -> None:
    print(f"Key {key.id} ({key.name}, {key.role}). Keep its text; it is not shown again:")
    print(text)


def _lines(keys: Iterable[Key]) -> Iterable[str]:
    yield f"{'ID':14}{'ROLE':10}{'CREATED':18}{'STATE':10}NAME"
    for key in keys:
        created = datetime.fromtimestamp(key.created, UTC).strftime("%Y-%m-%d %H:%M")
        state = "valid" if key.revoked is None else "revoked"
        yield f"{key.id:14}{key.role:10}{created:18}{state:10}{key.name}"
