"""Finds the starts of scenes in the pictures of a pulled stream."""

from __future__ import annotations

from fractions import Fraction

from server.frame import Frame, host_pixels
from server.sources.scenes.scene_cut import SceneCut, look


class SceneWatch:
    """Examines every picture. Mutable state: the scene, the number of its connection, and the time
    in that connection ``since`` when it has been followed."""

    def __init__(self) -> None:
        self.since = Fraction(0)
        self._scene = SceneCut()
        self._connection = 0

    def __repr__(self) -> str:
        return f"<SceneWatch since {self.since}>"

    def is_cut(self, connection: int, frame: Frame) -> bool:
        """Return whether the next picture of a connection starts a new scene; the pictures of two
        connections are not compared."""
        if self._connection != connection:
            self._connection = connection
            self._begin(frame)
        self._scene, is_cut = look(self._scene, host_pixels(frame.pixels), frame.pts)
        return is_cut

    def begin(self, frame: Frame) -> None:
        """Start a scene with this picture."""
        self._begin(frame)
        self._scene, _ = look(self._scene, host_pixels(frame.pixels), frame.pts)

    def _begin(self, frame: Frame) -> None:
        self._scene, self.since = SceneCut(), frame.pts or Fraction(0)
