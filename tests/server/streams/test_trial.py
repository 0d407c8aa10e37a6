"""An address is tried: its first picture, or an error message; nothing is left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from fractions import Fraction

import pytest

from models.spec import ModelSpec
from server.engines.fake import fake_spec
from server.errors import NoCapacity, SourceFault, SourceSilent, SourceUnreachable
from server.frame import Frame
from server.sources.base import Source
from server.sources.synthetic import SyntheticSource
from server.streams.definition import StreamDefinition
from server.streams.trial import MAX_TRIALS, Trials

pytestmark = pytest.mark.anyio

SPEC = fake_spec(48, 64)
CAMERA = StreamDefinition("test", "rtsp://camera/street")


class Camera(Source):
    """Sends no picture until it is closed; ``packet`` is when its last packet came."""

    def __init__(self, packet: float | None = None, error: Exception | None = None) -> None:
        self.live = True
        self.closed = False
        self._packet = packet
        self._error = error

    @property
    def last_packet(self) -> float | None:
        return self._packet

    def __aiter__(self) -> AsyncIterator[Frame]:
        return self

    async def __anext__(self) -> Frame:
        if self._error:
            raise self._error
        await asyncio.Event().wait()
        raise AssertionError

    async def aclose(self) -> None:
        self.closed = True


def trials(*sources: Source, seconds: float = 5.0) -> Trials:
    waiting = list(sources)

    def open_source(
        definition: StreamDefinition, spec: ModelSpec, _: Fraction | None = None, /
    ) -> Source:
        assert (definition, spec) == (CAMERA, SPEC)
        return waiting.pop(0)

    return Trials(open_source, SPEC, seconds)


async def test_a_camera_that_works_gives_its_first_picture() -> None:
    trial = await trials(SyntheticSource(48, 64)).first_picture(CAMERA)
    assert trial.frame.seq == 0
    assert 0 <= trial.seconds < 5


@pytest.mark.parametrize(
    ("make", "kind", "sentence"),
    [
        (Camera, SourceSilent, "sent nothing for 0.05 s"),
        (lambda: Camera(packet=1.0), SourceFault, "no picture could be decoded"),
        (lambda: Camera(error=SourceUnreachable("No route.")), SourceUnreachable, "No route."),
        (lambda: SyntheticSource(48, 64, frames=0), SourceFault, "ended before its first picture"),
    ],
    ids=["silent", "undecodable", "unreachable", "empty"],
)
async def test_a_camera_that_does_not_work_is_explained_and_closed(
    make: Callable[[], Source], kind: type[SourceFault], sentence: str
) -> None:
    source = make()
    with pytest.raises(kind, match=sentence):
        await trials(source, seconds=0.05).first_picture(CAMERA)
    assert not isinstance(source, Camera) or source.closed


async def test_one_too_many_is_refused_and_those_that_leave_make_room() -> None:
    cameras = [Camera() for _ in range(MAX_TRIALS)]
    some = trials(*cameras, SyntheticSource(48, 64))
    running = [asyncio.create_task(some.first_picture(CAMERA)) for _ in cameras]
    await asyncio.sleep(0)
    with pytest.raises(NoCapacity, match="try again in a moment"):
        await some.first_picture(CAMERA)
    for task in running:
        task.cancel()
    await asyncio.wait(running)
    assert all(camera.closed for camera in cameras)
    assert (await some.first_picture(CAMERA)).frame.seq == 0
