"""An agent applies decisions to its child; here the child is a fake."""

from __future__ import annotations

from dataclasses import dataclass, field

from launcher.agent import Supervisor
from launcher.supervision import Seen, State, Terms


@dataclass
class FakeChild:
    """A child that does what the test says. ``done`` lists the calls."""

    seen: Seen = field(default_factory=lambda: Seen(running=False))
    trouble: OSError | None = None
    done: list[str] = field(default_factory=list)
    port: int | None = None
    exit_code: int | None = None
    pid: int | None = None
    url: str | None = None

    def look(self) -> Seen:
        return self.seen

    def start(self) -> None:
        self.done.append("start")
        if self.trouble:
            raise self.trouble

    def drain(self) -> None:
        self.done.append("drain")

    def kill(self) -> None:
        self.done.append("kill")


READY = Seen(running=True, answers=True, ready=True)
TERMS = Terms(silence=5)


def serving() -> tuple[Supervisor, FakeChild]:
    child = FakeChild()
    supervisor = Supervisor(child, TERMS, 0)
    supervisor.tick(0)
    child.seen = READY
    supervisor.tick(1)
    assert supervisor.one.state is State.SERVING
    return supervisor, child


def test_a_server_that_is_not_wanted_drains_once() -> None:
    supervisor, child = serving()
    supervisor.want(False)
    supervisor.want(False)
    for now in (2, 3):
        supervisor.tick(now)
    child.seen = Seen(running=False)
    supervisor.tick(4)
    assert (supervisor.one.state, child.done) == (State.DRAINED, ["start", "drain"])


def test_a_server_that_hangs_is_killed_and_started_again() -> None:
    supervisor, child = serving()
    child.seen = Seen(running=True)
    supervisor.tick(7)
    child.seen = Seen(running=False)
    for now in (8, 9, 9.1):
        supervisor.tick(now)
    assert (supervisor.one.state, child.done) == (State.STARTING, ["start", "kill", "start"])


def test_what_prevents_a_start_is_kept_until_a_server_runs() -> None:
    child = FakeChild(trouble=OSError("no port from 1 to 2 is free"))
    supervisor = Supervisor(child, TERMS, 0)
    for now in (0, 0.25):
        supervisor.tick(now)
    assert supervisor.one.state is State.BACKING_OFF
    assert supervisor.trouble == "no port from 1 to 2 is free"
    child.trouble = None
    for now in (2, 2.25):
        supervisor.tick(now)
    child.seen = READY
    supervisor.tick(3)
    assert (supervisor.one.state, supervisor.trouble) == (State.SERVING, "")


def test_a_folder_that_cannot_be_used_is_a_trouble_and_no_crash() -> None:
    class Unusable(FakeChild):
        def look(self) -> Seen:
            raise PermissionError(13, "Permission denied", "/srv/data")

    supervisor = Supervisor(Unusable(), TERMS, 0)
    supervisor.tick(0)
    assert supervisor.one.state is State.WAITING
    assert supervisor.trouble == "Permission denied: /srv/data"
