"""The tasks that run next to the videos: each chore runs until it is cancelled."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import partial
from typing import Any

from server.database.callbacks import CallbackRows
from server.dialling.dial import Guard
from server.settings import VideoSettings
from server.videos.callbacks import callback_rules
from server.videos.calling import Caller, post
from server.videos.cleaning import clean
from server.videos.jobs import Jobs
from server.videos.moving import Mover
from server.videos.progress import Video
from server.videos.storage import Storage
from server.videos.uploads import Uploads

Chore = Coroutine[Any, Any, None]


def chores(
    jobs: Jobs,
    uploads: Uploads,
    storage: Storage | None,
    render: Callable[[Video], bytes],
    settings: VideoSettings,
    guard: Guard,
) -> list[Chore]:
    """Return the chores that the settings require; ``render`` returns a video's JSON, and ``guard``
    decides which addresses may be called."""
    found: list[Chore] = [clean(jobs.expire, uploads.expire)]
    if storage is not None:
        found.append(Mover(jobs.files, storage, jobs.disk).run())
    if settings.callback_secret is not None:
        secret = settings.callback_secret.get_secret_value()
        store = jobs.files.store
        rows = CallbackRows(store.database, store.seal, store.folder)
        rules = callback_rules(guard.rules, settings.callback_hosts)
        send = partial(post, guard=replace(guard, rules=rules))
        found.append(Caller(rows, jobs.disk, jobs.find, render, secret, time.time, send).run())
    return found
