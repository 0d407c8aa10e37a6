"""Pulled streams as their routes need them: the streams, and what is made of their masks."""

from __future__ import annotations

from dataclasses import dataclass, field

from models.spec import ModelSpec
from server.settings import LiveSettings
from server.streams.live_streams import LiveStreams
from server.streams.pulled import PulledStream
from server.streams.viewers import Renditions
from server.threads import PicturePool
from server.web.viewer_socket import ViewerServices


@dataclass(slots=True)
class LiveService:
    """Mutable state: the renditions of each stream, made when its first viewer comes."""

    streams: LiveStreams
    settings: LiveSettings
    viewers: ViewerServices
    pool: PicturePool
    _renditions: dict[str, tuple[PulledStream, Renditions]] = field(default_factory=dict)

    @property
    def spec(self) -> ModelSpec:
        """Return the model that is served."""
        return self.viewers.spec

    def has(self, stream: PulledStream) -> bool:
        """Return whether a stream was not removed or replaced meanwhile."""
        return any(one is stream for one in self.streams.all())

    def renditions(self, stream: PulledStream) -> Renditions:
        """Return what is made of a stream's masks, shared by all its viewers."""
        name = stream.definition.name
        of, made = self._renditions.get(name, (None, None))
        if of is not stream or made is None:
            made = Renditions(self.pool, self.spec)
            self._renditions[name] = stream, made
        return made

    async def remove(self, name: str) -> None:
        """Forget a stream and what was made of it. Raises NotFound."""
        await self.streams.remove(name)
        self._renditions.pop(name, None)
