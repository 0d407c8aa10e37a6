"""The recorder, which writes a part of each artefact of one video, and the joining of the parts."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from av.error import FFmpegError

from models.spec import ModelSpec
from server.errors import BadRequest, Fault, MastreamError, unwritable
from server.frame import Losses, Mask, VideoInfo
from server.sinks.archive import MaskArchive
from server.sinks.artefacts import Artefact, Segmented
from server.sinks.class_shares import ClassShares
from server.sinks.encoding import OverlayVideo
from server.sinks.mask_listing import MaskListing
from server.sinks.mask_video import MaskVideo
from server.sinks.overlay import resize_labels
from server.sinks.poster import Poster
from server.sinks.style import DEFAULT, Style
from server.sinks.summary import Summary

ARTEFACTS: dict[str, type[Artefact]] = {
    "masks.mkv": MaskVideo,
    "overlay.mp4": OverlayVideo,
    "masks.zip": MaskArchive,
    "summary.json": Summary,
    "masks.json": MaskListing,
    "classes.csv": ClassShares,
    "poster.jpg": Poster,
}

USUAL = ("masks.mkv", "overlay.mp4", "masks.zip", "summary.json")
"""The artefacts that are made by default."""

ALWAYS = ("poster.jpg",)
"""The artefacts that are always made."""

WHOLE = Losses()

PARTIAL = ".part"
"""The suffix of a file that is not complete yet."""


class Recorder:
    """Writes a part of each artefact into ``folder``, under a temporary name until closed.

    :func:`join_parts` makes the artefacts from the parts of a whole video. All have the size of
    ``info``: if pictures change size in the middle, they and their masks are scaled to it.
    ``style`` says which classes are shown, and how. End it with :meth:`close` or :meth:`abort`;
    after a Fault, with abort. Raises BadRequest if an artefact is not in ARTEFACTS or a class is
    not in the model, and Fault (DiskFull if there is no space) if nothing can be written.
    """

    def __init__(
        self,
        folder: Path,
        spec: ModelSpec,
        info: VideoInfo,
        artefacts: Collection[str],
        style: Style = DEFAULT,
    ) -> None:
        _check_known(artefacts)
        self._folder = folder
        self._info = info
        self._style = style
        self._frames = 0
        self._open: dict[str, Artefact] = {}
        for name in ARTEFACTS:
            if name in artefacts:
                self._make(name, spec)

    def __repr__(self) -> str:
        return f"<Recorder {', '.join(self._open) or 'ended'} frames={self._frames}>"

    @property
    def frames(self) -> int:
        """Return how many masks are written."""
        return self._frames

    def write(self, mask: Mask) -> None:
        """Add the mask of the next picture. Raises Fault if it cannot be written."""
        segmented = self._segmented(mask)
        for name, artefact in self._open.items():
            with _Faults(name):
                artefact.add(segmented)
        self._frames += 1

    def close(self, losses: Losses = WHOLE) -> None:
        """Complete all files, with ``losses`` in those that have a place for it, and rename them.

        Raises Fault, and removes all files, if one cannot be completed or no mask was written.
        """
        try:
            self._finish(losses)
        except Fault:
            self.abort()
            raise

    def abort(self) -> None:
        """Stop and remove the incomplete files. Idempotent, also after :meth:`close`."""
        for name, artefact in self._open.items():
            artefact.discard()
            self._partial(name).unlink(missing_ok=True)
        self._open.clear()

    def _make(self, name: str, spec: ModelSpec) -> None:
        try:
            with _Faults(name):
                self._open[name] = ARTEFACTS[name](
                    self._partial(name), spec, self._info, self._style
                )
        except MastreamError:
            self._partial(name).unlink(missing_ok=True)
            self.abort()
            raise

    def _segmented(self, mask: Mask) -> Segmented:
        labels = resize_labels(mask.labels, self._info.height, self._info.width)
        pts = mask.frame.pts
        pts = self._frames / self._info.rate if pts is None else pts
        return Segmented(mask, labels, pts, mask.frame.duration)

    def _finish(self, losses: Losses) -> None:
        if self._open and not self._frames:
            raise Fault("There is no mask to record.")
        for name, artefact in self._open.items():
            with _Faults(name):
                artefact.note(losses)
                artefact.finish()
        for name in list(self._open):
            with _Faults(name):
                self._partial(name).replace(self._folder / name)
            del self._open[name]

    def _partial(self, name: str) -> Path:
        return self._folder / (name + PARTIAL)


def join_parts(
    folders: Sequence[Path],
    folder: Path,
    spec: ModelSpec,
    info: VideoInfo,
    artefacts: Collection[str],
    style: Style = DEFAULT,
) -> None:
    """Make each artefact in ``folder`` from its parts in ``folders``, in order.

    A file has its name only when it is complete. Raises Fault if one cannot be made; then the files
    so far may be removed, since the parts stay.
    """
    for name in artefacts:
        partial = folder / (name + PARTIAL)
        with _Faults(name):
            partial.unlink(missing_ok=True)
            parts = [part / name for part in folders]
            ARTEFACTS[name].join(parts, partial, spec, info, style)
            partial.replace(folder / name)


class _Faults:
    """Raises a Fault, or DiskFull, from an error in its block.

    Not a generator: its frame and the error would refer to each other, which keeps the pictures in
    the frames below alive until the garbage collector runs.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, (FFmpegError, OSError)):
            raise unwritable(self._name, error.errno, error.strerror) from error


def chosen_artefacts(asked: str | None) -> tuple[str, ...]:
    """Return the artefacts in a comma-separated list, USUAL for None, and with them ALWAYS.

    They are in the table's order. Raises BadRequest if one is unknown.
    """
    wanted = USUAL if asked is None else tuple(name.strip() for name in asked.split(","))
    _check_known(wanted)
    return tuple(name for name in ARTEFACTS if name in (*wanted, *ALWAYS))


def _check_known(artefacts: Collection[str]) -> None:
    unknown = sorted(set(artefacts) - set(ARTEFACTS))
    if unknown:
        known = ", ".join(ARTEFACTS)
        raise BadRequest(f"There is no artefact {unknown[0][:80]!r}; choose from {known}.")
