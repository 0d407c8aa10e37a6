"""Switching from ONNX Runtime to a TensorRT plan, while the service serves.

A cached plan is used at once; if there is none, one is built in a separate process. Then each
engine on a GPU that the plan is for is replaced, between two steps, by one that runs the plan and
has passed a trial; its streams' memories are rebuilt. Whatever fails, the serving engines continue.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.plan import Machine
from server.engines import make_engine
from server.engines.base import Engine
from server.engines.info import EngineInfo, PlanStatus
from server.engines.tensor_rt import this_machine
from server.errors import BadInput, MastreamError
from server.plans.build import (
    Building,
    Failed,
    PlanBuild,
    PlanState,
    build_command,
    check_folder,
)
from server.plans.trial import plan_maker
from server.plans.wanted import PlanRequest, find_plan, gpu, make_request, why_not
from server.settings import EngineSettings
from server.workers.serving import Serving
from server.workers.worker import Worker

STEP = 10
"""Percent of a build between two lines of the log."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BuildTools:
    """The tools that build and run plans; tests replace them."""

    machine: Callable[[int], Machine] = this_machine
    command: Callable[[PlanRequest], Sequence[str]] = build_command
    make: Callable[[EngineSettings], Engine] = make_engine


class Upgrade:
    """One search and at most one build for all engines of a service, started once it serves.

    The plan is for the GPU of the first engine; engines on other kinds of GPU stay as they are.
    """

    def __init__(
        self, serving: Serving, settings: EngineSettings, build_tools: BuildTools | None = None
    ) -> None:
        self._state: PlanStatus | Over = PlanStatus("off", detail="The model is being loaded.")
        self._serving = serving
        self._settings = settings
        self._build_tools = build_tools or BuildTools()
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Upgrade {self.status}>"

    @property
    def status(self) -> PlanStatus:
        """Return the progress; once all engines were replaced, how many run the plan now."""
        return self._state.status() if isinstance(self._state, Over) else self._state

    def begin(self) -> None:
        """Start, in the background; the engines must be warm."""
        self._task = asyncio.create_task(self._run())

    async def ended(self) -> None:
        """Wait until the engines have been replaced, or will not be."""
        if self._task:
            await asyncio.wait([self._task])

    async def stop(self) -> None:
        """Stop the search or build. Idempotent."""
        # Cancel only once: a second time would interrupt the wait for the build's process.
        if self._task and not self._task.cancelling():
            self._task.cancel()
        await self.ended()

    async def _run(self) -> None:
        try:
            self._state = await self._switch()
        except Exception as error:  # whatever the error is, the service continues without a plan
            foreign = None if isinstance(error, MastreamError | OSError) else error
            log.error("no TensorRT plan: %s", error, exc_info=foreign)
            self._state = PlanStatus("failed", self.status.percent, str(error))

    async def _switch(self) -> PlanStatus | Over:
        """Find or build the plan and switch all engines to it; return the result."""
        if reason := why_not(self._settings, self._serving.engines):
            return PlanStatus("off", detail=reason)
        self._state = PlanStatus("looking")
        request = make_request(self._settings, self._serving.engines[0])
        try:
            here = await asyncio.to_thread(self._build_tools.machine, request.device)
        except MastreamError as error:
            return PlanStatus("off", detail=str(error))
        plan = await asyncio.to_thread(find_plan, request, here) or await self._build(request)
        if isinstance(plan, Failed):
            log.error("no TensorRT plan: %s", plan.reason)
            return PlanStatus("failed", self.status.percent, plan.reason)
        self._state = PlanStatus("loading", 100, plan.name)
        return await self._replace(plan)

    async def _build(self, request: PlanRequest) -> Path | Failed:
        await asyncio.to_thread(check_folder, request.folder)
        log.info("a TensorRT plan of %s is being built in %s", request.spec.name, request.folder)
        ended = await PlanBuild(self._build_tools.command(request), self._on_state).run()
        return ended if isinstance(ended, Failed) else ended.path

    def _on_state(self, state: PlanState) -> None:
        if isinstance(state, Building):
            if reached(self.status.percent, state.percent):
                log.info("the TensorRT plan: %d %%, %s", state.percent, state.phase)
            self._state = PlanStatus("building", state.percent, state.phase)

    async def _replace(self, plan: Path) -> Over:
        """Replace every engine that the plan is for, one after another, even if one fails."""
        going, staying = apart(self._serving.workers)
        outcomes = [Outcome(worker, await self._replace_one(worker, plan)) for worker in going]
        for worker in staying:
            (built,) = worker.engines
            log.info("%s stays with %s: the plan is for another GPU", built.device, built.provider)
        return Over(plan, outcomes)

    async def _replace_one(self, worker: Worker, plan: Path) -> EngineInfo | str:
        """Return the engine that runs the plan now, or why none does."""
        (before,) = worker.engines
        try:
            await worker.replace_engine(
                plan_maker(self._build_tools.make, self._settings, plan, before)
            )
        except Exception as error:  # errors of TensorRT too: the serving engine continues
            log.error("the TensorRT plan %s is rejected", plan, exc_info=error)
            return refusal(before, plan, error)
        (now,) = worker.engines
        log.info("%s on %s serves with %s", now.provider, now.device, plan)
        return now


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result for one worker: the engine that took over with the plan, or why none did."""

    worker: Worker
    took_over: EngineInfo | str

    def why_not(self) -> str | None:
        """Return why the plan does not run on this worker now; None if it runs."""
        if isinstance(self.took_over, str):
            return self.took_over
        (now,) = self.worker.engines
        if now.provider == self.took_over.provider:
            return None
        return f"{now.device} has returned to {now.provider}: {now.passed_over[0]}"


@dataclass(frozen=True, slots=True)
class Over:
    """The switch to ``plan`` has ended. An engine that dies later may be replaced by one without
    the plan."""

    plan: Path
    outcomes: Sequence[Outcome]

    def status(self) -> PlanStatus:
        reasons = [why for outcome in self.outcomes if (why := outcome.why_not())]
        if not reasons:
            return PlanStatus("serving", 100, self.plan.name)
        asked = len(self.outcomes)
        if len(reasons) == asked:
            return PlanStatus("failed", 100, reasons[0])
        detail = f"{self.plan.name}, on {asked - len(reasons)} of {asked} engines: {reasons[0]}"
        return PlanStatus("serving", 100, detail)


def refusal(engine: EngineInfo, plan: Path, error: Exception) -> str:
    """Return the reason that is reported if ``engine`` could not be replaced."""
    # Only a BadInput is the plan's fault; others, such as a lack of memory, are not.
    advice = f" (remove {plan} to have another built at the next start)"
    advice = advice if isinstance(error, BadInput) else ""
    return f"{engine.device} stays with {engine.provider}{advice}: {error}"


def apart(workers: Sequence[Worker]) -> tuple[list[Worker], list[Worker]]:
    """Split the workers into those whose GPU has the same name as the first worker's, for which the
    plan is built, and the others."""
    names = [(gpu(worker.engines[0].device) or (0, ""))[1] for worker in workers]
    going = [worker for worker, name in zip(workers, names, strict=True) if name == names[0]]
    return going, [worker for worker in workers if worker not in going]


def reached(before: int, now: int) -> bool:
    """Return whether a build has reached another tenth."""
    return now // STEP > before // STEP
