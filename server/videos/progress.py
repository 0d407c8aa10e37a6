"""How far an uploaded video is, from its row and from what runs."""

from __future__ import annotations

from dataclasses import dataclass, replace

from server.database.video_record import VideoRecord, VideoState


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a video is. ``fps`` is the mean since it was begun; None where unknown."""

    frames_done: int
    frames_total: int | None
    fps: float | None = None
    eta_s: float | None = None


@dataclass(frozen=True, slots=True)
class Video:
    """What is known of a video now: its row, and how far it is."""

    record: VideoRecord
    progress: Progress

    @property
    def version(self) -> str:
        """Differs whenever the video does; the id of its event."""
        record = self.record
        return f"{record.attempts}-{record.state}-{self.progress.frames_done}"


def progress(done: int, total: int | None, seconds: float) -> Progress:
    """How far a video is after ``done`` frames in ``seconds``."""
    fps = done / seconds if done and seconds > 0 else None
    eta = None if fps is None or total is None else max(total - done, 0) / fps
    return Progress(done, total, fps, eta)


def video_now(record: VideoRecord, frames: int | None, now: float) -> Video:
    """A video at the time ``now``; ``frames`` is how many are recorded where it runs here.

    What failed or was cancelled keeps the frames that it had, and nothing is left of it to wait
    for.
    """
    done = record.frames_done
    if record.state is VideoState.RUNNING and frames is not None:
        done = frames
    total = done if record.state is VideoState.SUCCEEDED else record.info.frames
    began = now if record.started is None else record.started
    ended = now if record.ended is None else record.ended
    far = progress(done, total, ended - began)
    if record.state in (VideoState.FAILED, VideoState.CANCELLED):
        far = replace(far, eta_s=None)
    return Video(record, far)
