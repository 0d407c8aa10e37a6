"""All agents, as Ray's actors: created, asked, drained and removed. The only importer of Ray.

An agent is a detached actor with a name, so it outlives the command that created it; Ray places it
where an engine is free, and again elsewhere if its machine is lost. Only stable public API is used.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError

from launcher.agent import Agent, Report
from launcher.errors import NoRay, NoSuchAgent, Unfinished
from launcher.member import Member
from launcher.options import ServerOptions
from launcher.ray_settings import ENGINE, NAMESPACE
from launcher.supervision import State

ANSWER_SECONDS = 3.0
PAUSE_SECONDS = 0.5
GAP = 32
"""Agents have consecutive numbers; after this many missing numbers there are no more agents."""


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Connect to the Ray at ``address``, or to the one on this machine if that is ``auto``.

    Raises NoRay.
    """
    try:
        _check_listening(address)
        ray.init(
            address=address, namespace=NAMESPACE, log_to_driver=False, logging_level=logging.ERROR
        )
    except (OSError, RuntimeError, ValueError, RayError) as error:
        raise NoRay(
            f"Ray cannot be used at {address}: start one with `mastream cluster node`, name it "
            f"with --address, and check that the tokens are the same ({_first_line(error)})."
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def ensure(count: int, options: ServerOptions, *, on_gpu: bool = False) -> None:
    """Have agents 1 to ``count``: create those that are missing and resume the others."""
    needs: dict[str, Any] = {"num_gpus": 1} if on_gpu else {"resources": {ENGINE: 1}}
    actor: Any = ray.remote(_RayAgent)
    for number in range(1, count + 1):
        agent = actor.options(
            name=agent_name(number),
            lifetime="detached",
            get_if_exists=True,
            max_restarts=-1,
            max_task_retries=-1,
            num_cpus=0,
            scheduling_strategy="SPREAD",
            **needs,
        )
        agent.remote(number, options).resume.remote()


def members() -> list[Member]:
    """Return all agents, with the reports of those that answer in time."""
    asked = {name: handle.report.remote() for name, handle in _handles()}
    if asked:
        ray.wait(list(asked.values()), num_returns=len(asked), timeout=ANSWER_SECONDS)
    return [Member(name, _answer(reference)) for name, reference in asked.items()]


def drain(target: str, seconds: float) -> list[str]:
    """Drain the servers of an agent or a machine; return the agents' names.

    Raises NoSuchAgent, or Unfinished if they have not ended after ``seconds``.
    """
    names = [one.name for one in members() if one.is_meant_by(target)]
    if not names:
        raise NoSuchAgent(
            f"There is no agent and no machine {target!r}: see `mastream cluster status`."
        )
    _drain(names, seconds)
    return names


def remove(first: int = 1, seconds: float = 45.0) -> list[str]:
    """Drain and remove the agents from number ``first`` on; return their names.

    Servers that have not ended after ``seconds`` are killed. An agent that does not answer has no
    server, or cannot be reached.
    """
    found = dict(_handles(first))
    try:
        _drain([one.name for one in members() if one.name in found and one.report], seconds)
    except Unfinished:
        pass
    finally:
        for handle in found.values():
            ray.kill(handle, no_restart=True)
    return list(found)


def agent_name(number: int) -> str:
    """Return the name of agent ``number`` in Ray's namespace."""
    return f"mastream-agent-{number}"


class _RayAgent(Agent):
    """An agent that knows the id of its Ray node."""

    def __init__(self, number: int, options: ServerOptions) -> None:
        super().__init__(number, options, ray.get_runtime_context().get_node_id())


def _check_listening(address: str) -> None:
    """Raise OSError if nothing listens at ``HOST:PORT``: Ray would wait for an hour."""
    host, colon, port = address.rpartition(":")
    if colon:
        socket.create_connection((host.strip("[]"), int(port)), ANSWER_SECONDS).close()


def _handles(first: int = 1) -> Iterator[tuple[str, Any]]:
    number = last = first
    while number < last + GAP:
        try:
            yield agent_name(number), ray.get_actor(agent_name(number))
            last = number + 1
        except ValueError:
            pass
        number += 1


def _answer(reference: Any) -> Report | None:
    try:
        report: Report = ray.get(reference, timeout=0)
    except (GetTimeoutError, RayError):
        return None
    return report


def _drain(names: Sequence[str], seconds: float) -> None:
    for name in names:
        ray.get_actor(name).drain.remote()
    end = time.monotonic() + seconds
    while left := _undrained(names):
        if time.monotonic() > end:
            raise Unfinished(
                f"{', '.join(left)} did not drain within {seconds:g} s: see "
                "`mastream cluster status`."
            )
        time.sleep(PAUSE_SECONDS)


def _undrained(names: Sequence[str]) -> list[str]:
    return [
        one.name
        for one in members()
        if one.name in names and not (one.report and one.report.state is State.DRAINED)
    ]


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
