"""Recovery when a server starts: rows of its earlier process, and files that nobody needs.

Synchronous, as the files are.
"""

from __future__ import annotations

import logging
from collections.abc import Collection

from server.database.callbacks import CallbackRows
from server.database.video_record import VideoState
from server.videos.files import VideoFiles

_log = logging.getLogger(__name__)


def recover(files: VideoFiles, now: float) -> int:
    """Queue again the videos that a dead process of this server left running, unless others work on
    them, and remove stale files. Return how many videos are queued."""
    store, uploads = files.store, files.uploads
    files.piece_rows.free(files.owner)
    store.requeue()
    uploads.adopt()
    uploads.seal_all()
    CallbackRows(store.database, store.seal).seal_all()
    _measure_results(files)
    files.folder.mkdir(parents=True, exist_ok=True)
    states = store.states()
    arriving = {record.id for record in uploads.unfinished()} - states.keys()
    for folder in list(files.folder.iterdir()):
        if folder.name in states:
            files.leave(folder.name, now)
        elif folder.name not in arriving:
            _leave_unknown(files, folder.name, [*states, *arriving], now)
    return store.count(VideoState.QUEUED)


def _measure_results(files: VideoFiles) -> None:
    """Store the sizes of results that an older version made."""
    for one in files.store.kept():
        is_measured = one.ended is None or one.nbytes
        if not is_measured and files.results(one.id, one.results).exists():
            files.store.set_stored(one.id, files.places.bytes_kept(one.id, one.results))


def _leave_unknown(files: VideoFiles, name: str, known: Collection[str], now: float) -> None:
    """Remove a folder that belongs to no video, unless it may belong to another database, or to a
    server that is receiving an upload into the same folder.

    An interrupted upload leaves no results or pieces, and a database that knows no video proves
    nothing.
    """
    if not known or files.places.was_segmented(name):
        _log.warning("%s belongs to no video in this database, so it is kept", files.folder / name)
    elif not files.is_shared or files.places.changed(name) < now - files.settings.upload_seconds:
        files.places.settle(name, None)
