"""An agent: a thread that keeps one server running, with the methods that others may call.

It imports no Ray. Its methods are idempotent, so a call may be repeated after a restart.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

from launcher.child import ServerChild
from launcher.options import ServerOptions
from launcher.supervision import Action, Seen, State, Supervised, Terms, decide

PAUSE_SECONDS = 0.25

_log = logging.getLogger(__name__)


class Child(Protocol):
    """The operations that an agent needs on its server's process."""

    port: int | None
    exit_code: int | None

    @property
    def pid(self) -> int | None: ...
    @property
    def url(self) -> str | None: ...
    def look(self) -> Seen: ...
    def start(self) -> None: ...
    def drain(self) -> None: ...
    def kill(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Report:
    """An agent and its server; ``trouble`` is why the server could not be started or checked."""

    number: int
    state: State
    ready: bool
    failures: int
    node: str
    node_id: str
    url: str | None
    agent_pid: int
    server_pid: int | None
    exit_code: int | None
    trouble: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self)


class Supervisor:
    """Applies decisions to one child. Mutable state: the server's supervised state, the last
    observation and the last trouble; a lock guards them, since the thread and callers both use
    them."""

    def __init__(self, child: Child, terms: Terms, now: float) -> None:
        self._child, self._terms = child, terms
        self._lock = threading.Lock()
        self.one = Supervised(since=now, answered=now)
        self.seen = Seen(running=False)
        self.trouble = ""

    def want(self, wanted: bool) -> None:
        """Keep the server running, or drain it and keep it stopped. Idempotent."""
        with self._lock:
            self.one = replace(self.one, wanted=wanted)

    def tick(self, now: float) -> None:
        """Check the server and do what is due."""
        seen, trouble = self._look()
        with self._lock:
            self.one, action = decide(self.one, seen, now, self._terms)
            self.seen = seen
        found = self._act(action) or trouble
        self.trouble = found or ("" if seen.running else self.trouble)

    def _look(self) -> tuple[Seen, str]:
        try:
            return self._child.look(), ""
        except OSError as error:
            return Seen(running=False, can_start=False), _sentence(error)

    def _act(self, action: Action) -> str:
        """Carry out the decision; return what prevented it."""
        try:
            if action is Action.START:
                self._child.start()
            elif action is Action.DRAIN:
                self._child.drain()
            elif action is Action.KILL:
                self._child.kill()
        except OSError as error:  # the next check finds no process, which counts as a failure
            _log.warning("the server cannot be started: %s", error)
            return _sentence(error)
        return ""


class Agent:
    """Agent ``number``, on the Ray node with ``node_id``."""

    def __init__(self, number: int, options: ServerOptions, node_id: str = "") -> None:
        self._number, self._node, self._node_id = number, socket.gethostname(), node_id
        self._child = ServerChild(number, options, self._node)
        self._supervisor = Supervisor(self._child, options.terms, time.monotonic())
        threading.Thread(target=self._run, name="supervisor", daemon=True).start()

    def report(self) -> Report:
        """Return the state of the agent and its server."""
        one, child = self._supervisor.one, self._child
        return Report(
            number=self._number,
            state=one.state,
            ready=self._supervisor.seen.ready,
            failures=one.failures,
            node=self._node,
            node_id=self._node_id,
            url=child.url,
            agent_pid=os.getpid(),
            server_pid=child.pid,
            exit_code=child.exit_code,
            trouble=self._supervisor.trouble,
        )

    def drain(self) -> None:
        """Drain the server and start no other until :meth:`resume`. Idempotent."""
        self._supervisor.want(False)

    def resume(self) -> None:
        """Keep a server running again. Idempotent."""
        self._supervisor.want(True)

    def _run(self) -> None:
        while True:
            try:
                self._supervisor.tick(time.monotonic())
            except Exception:  # a fault here must not leave the server without supervision
                _log.exception("the server could not be supervised")
            time.sleep(PAUSE_SECONDS)


def _sentence(error: OSError) -> str:
    place = f": {error.filename}" if error.filename else ""
    return f"{error.strerror or error}{place}"
