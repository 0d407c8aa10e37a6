"""The folder of recordings: begins, lists and removes them, and limits their total size."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from threading import Lock
from uuid import uuid4

from protocol import DropPolicy
from server.engines.info import EngineInfo
from server.errors import BadRequest, Conflict, MastreamError, NoCapacity, NotFound
from server.recordings.recording import Recording
from server.recordings.recording_file import read
from server.recordings.records import Opening
from server.recordings.writer import Limits, Writer
from server.settings import StreamSettings

SUFFIX = ".mastream"
MAX_FILES = 1000
_NAME = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Stored:
    """A recording on the disk.

    ``stream`` is empty for a pushed stream. ``began`` is the time of day in seconds; both are None
    if the file is damaged at its beginning. ``recording`` says whether it is still being written.
    """

    name: str
    nbytes: int
    recording: bool
    stream: str | None
    began: float | None


class Recordings:
    """All recordings of a server.

    Before a file is made, the oldest are removed, so that all recordings stay within
    ``record_total_bytes`` even if those being written reach their limit. A recording that would not
    fit next to those being written is refused. ``on_bytes`` is called with the size of each block
    that is written, ``on_end`` with the reason of each end, both in a writer's thread. Mutable
    state, guarded by the lock: the recordings being written.
    """

    def __init__(
        self,
        folder: Path,
        settings: StreamSettings,
        *,
        wall: Callable[[], float] = time.time,
        on_bytes: Callable[[int], None] = lambda _: None,
        on_end: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._on_bytes = on_bytes
        self._on_end = on_end
        self._folder = folder
        self._settings = settings
        self._wall = wall
        self._lock = Lock()
        self._writers: dict[str, Writer] = {}

    def __repr__(self) -> str:
        return f"<Recordings {self._folder}: {len(self._writers)} being written>"

    @property
    def running(self) -> int:
        """Return how many are being written."""
        return len(self._writers)

    @property
    def waiting_bytes(self) -> int:
        """Return how many bytes of all recordings wait for the disk."""
        with self._lock:
            return sum(writer.waiting_bytes for writer in self._writers.values())

    def check_allowed(self) -> None:
        """Raise BadRequest if this server does not record."""
        if not self._settings.record:
            raise BadRequest(
                "This server does not record streams; start it with MASTREAM_STREAMS__RECORD=true."
            )

    def begin(
        self,
        engine: EngineInfo,
        *,
        stream: str,
        policy: DropPolicy,
        budget: float | None,
        name: str | None = None,
    ) -> Recording:
        """Begin a recording named ``name``, 32 hexadecimal digits, or a new name.

        ``budget`` is in seconds. Raises BadRequest if this server does not record, and NoCapacity
        if too many streams are being recorded already. Touches no file: the writer's thread does.
        """
        self.check_allowed()
        name = name or uuid4().hex
        opening = Opening(
            version=version("mastream"),
            stream=stream,
            model=engine.spec.to_dict(),
            provider=engine.provider,
            device=engine.device,
            policy=str(policy),
            budget_ms=None if budget is None else budget * 1000,
            began=self._wall(),
        )
        return Recording(name, opening, self._open(name))

    def all(self) -> list[Stored]:
        """Return the recordings, newest first. Reads the beginning of each file."""
        found = [(path, size) for _, size, path in reversed(self._files())]
        return [self._describe(path, size) for path, size in found]

    def find(self, name: str) -> Path:
        """Return the file of a recording. Raises NotFound."""
        path = self._folder / f"{name}{SUFFIX}"
        if not _NAME.fullmatch(name) or not path.is_file():
            raise NotFound(f"There is no recording {name[:80]!r}; see /v1/recordings.")
        return path

    def remove(self, name: str) -> None:
        """Remove a recording. Raises NotFound, and Conflict if it is still being written."""
        path = self.find(name)
        with self._lock:
            if name in self._writers:
                raise Conflict(f"The recording {name} is still being written; end its stream.")
        path.unlink(missing_ok=True)

    def close(self, seconds: float) -> None:
        """End all recordings; wait for each up to ``seconds``. Idempotent."""
        with self._lock:
            writers = list(self._writers.values())
        for writer in writers:
            writer.end("stopped")
        for writer in writers:
            writer.join(seconds)

    def _open(self, name: str) -> Writer:
        settings = self._settings
        with self._lock:
            if (len(self._writers) + 1) * settings.record_bytes > settings.record_total_bytes:
                raise NoCapacity(
                    f"{len(self._writers)} streams are being recorded already; try again later."
                )
            writer = Writer(
                self._folder / f"{name}{SUFFIX}",
                Limits(settings.record_bytes, settings.record_seconds),
                prepare=self._make_room,
                on_bytes=self._on_bytes,
                on_end=lambda: self._forget(name),
            )
            self._writers[name] = writer
        return writer

    def _forget(self, name: str) -> None:
        with self._lock:
            writer = self._writers.pop(name, None)
        if writer is not None and writer.ended is not None:
            self._on_end(writer.ended)

    def _make_room(self) -> None:
        """Make the folder, and remove the oldest recordings if there are too many."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._lock:
            writing = set(self._writers)
        left = self._settings.record_total_bytes - len(writing) * self._settings.record_bytes
        kept = [(size, path) for _, size, path in self._files() if path.stem not in writing]
        for place, (size, path) in enumerate(reversed(kept), start=len(writing)):
            left -= size
            if left < 0 or place >= MAX_FILES:
                path.unlink(missing_ok=True)

    def _files(self) -> list[tuple[float, int, Path]]:
        """Return (time, bytes, path) of every recording, oldest first."""
        found = []
        for path in self._folder.glob(f"*{SUFFIX}"):
            with suppress(OSError):  # it may have been removed meanwhile
                status = path.stat()
                found.append((status.st_mtime, status.st_size, path))
        return sorted(found)

    def _describe(self, path: Path, nbytes: int) -> Stored:
        with self._lock:
            recording = path.stem in self._writers
        opening = _opening(path)
        if opening is None:
            return Stored(path.stem, nbytes, recording, None, None)
        return Stored(path.stem, nbytes, recording, opening.stream, opening.began)


def _opening(path: Path) -> Opening | None:
    with suppress(MastreamError):
        for block in read(path):
            return block.record if isinstance(block.record, Opening) else None
    return None
