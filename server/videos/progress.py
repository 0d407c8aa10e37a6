"""The progress of an uploaded video, from its row and from its running job."""

from __future__ import annotations

from dataclasses import dataclass, replace

from server.database.video_record import VideoRecord, VideoState


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a video. ``fps`` is the mean while it was segmented; None: unknown."""

    frames_done: int
    frames_total: int | None
    fps: float | None = None
    eta_s: float | None = None


@dataclass(frozen=True, slots=True)
class Video:
    """The present state of a video: its row, its progress, whether its upload is kept, when it is
    removed, in seconds since the epoch (None: unknown), and why it waits, if it runs and waits."""

    record: VideoRecord
    progress: Progress
    has_source: bool = False
    expires: float | None = None
    paused: str | None = None

    @property
    def version(self) -> str:
        """Return a string that changes with the video; it is the id of the video's event."""
        record = self.record
        waits = "-paused" if self.paused else ""
        return f"{record.attempts}-{record.state}-{self.progress.frames_done}{waits}"


def progress(done: int, total: int | None, seconds: float) -> Progress:
    """Return the progress of a video after ``done`` frames in ``seconds``."""
    fps = done / seconds if done and seconds > 0 else None
    eta = None if fps is None or total is None else max(total - done, 0) / fps
    return Progress(done, total, fps, eta)


def video_now(record: VideoRecord, frames: int | None, now: float) -> Video:
    """Return the state of a video at ``now``; ``frames`` is how many are known to be recorded if it
    runs here; other servers may have reported more.

    A video that failed or was cancelled keeps its number of frames and has no ``eta_s``.
    """
    done = record.frames_done
    if record.state is VideoState.RUNNING and frames is not None:
        done = max(done, frames)
    total = done if record.state is VideoState.SUCCEEDED else record.info.frames
    began = now if record.started is None else record.started
    ended = now if record.ended is None else record.ended
    far = progress(done, total, record.spent + ended - began)
    if record.state in (VideoState.FAILED, VideoState.CANCELLED):
        far = replace(far, eta_s=None)
    return Video(record, far)
