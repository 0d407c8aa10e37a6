"""When a pulled stream connects, waits, gives up and retries: only the decisions.

:func:`decide` uses no clock, thread or socket. Its caller has one timer, set to the state's
``deadline``, and performs the action.

    connecting --picture--> live --silence--> stalled --picture--> live
    connecting, live, stalled --broken or too long--> backoff --deadline--> connecting
    live --end of a file--> ended (or connecting, if it is looped)
    any --pause--> paused --resume--> connecting
    any --too many hung decoders--> failed --resume--> connecting
"""

from __future__ import annotations

from dataclasses import replace

from server.streams.states import (
    Action,
    Broken,
    Deadline,
    Event,
    Finished,
    Hung,
    Pause,
    Picture,
    Resume,
    Rules,
    StreamState,
    Supervised,
)

Decision = tuple[Supervised, Action]


def begin(now: float, rules: Rules, paused: bool = False) -> Decision:
    """Return a stream's first state and action."""
    if paused:
        return Supervised(StreamState.PAUSED, now), Action.NOTHING
    return _connect(now, rules, 0)


def decide(now_is: Supervised, event: Event, now: float, rules: Rules, jitter: float) -> Decision:
    """Return the next state and what to do with the source. ``jitter`` is from 0 to 1.

    An event that does not apply in this state changes nothing.
    """
    match event:
        case Pause() if now_is.state is not StreamState.PAUSED:
            return Supervised(StreamState.PAUSED, now), _close(now_is)
        case Resume() if not now_is.state.has_source:
            return _connect(now, rules, 0)
        case Hung():
            detail = "Too many decoders hang: restart the server, then resume the stream."
            return _over(now_is, StreamState.FAILED, now, "decoder_hung", detail)
        case Deadline() if now_is.state is StreamState.BACKOFF:
            return _connect(now, rules, now_is.attempt)
        case _ if now_is.state.has_source:
            return _with_source(now_is, event, now, rules, jitter)
    return now_is, Action.NOTHING


def backoff(attempt: int, rules: Rules, jitter: float) -> float:
    """Return the seconds to wait after this many failed attempts: doubled each time up to the
    longest, then shortened by up to a half so that many streams do not return together."""
    doubled = min(rules.longest_backoff, rules.backoff * 2.0 ** min(attempt, 16))
    return max(rules.backoff, doubled * (1 - jitter / 2))


def _with_source(
    now_is: Supervised, event: Event, now: float, rules: Rules, jitter: float
) -> Decision:
    match event:
        case Picture():
            return _live(now_is, now, rules), Action.NOTHING
        case Deadline():
            return _overdue(now_is, event, now, rules, jitter)
        case Broken(code, detail, refused):
            return _retry(now_is, now, rules, jitter, code, detail, refused)
        case Finished():
            return _finished(now_is, event, now, rules, jitter)
    return now_is, Action.NOTHING


def _finished(
    now_is: Supervised, event: Finished, now: float, rules: Rules, jitter: float
) -> Decision:
    if not event.is_file:
        detail = "The camera ended the stream."
        return _retry(now_is, now, rules, jitter, "source_ended", detail)
    if event.loops:
        return _connect(now, rules, 0)
    return _over(now_is, StreamState.ENDED, now, "", "")


def _live(now_is: Supervised, now: float, rules: Rules) -> Supervised:
    deadline = now + rules.stall
    if now_is.state is StreamState.LIVE:
        return replace(now_is, deadline=deadline)
    return Supervised(StreamState.LIVE, now, deadline, now_is.attempt)


def _overdue(
    now_is: Supervised, event: Deadline, now: float, rules: Rules, jitter: float
) -> Decision:
    if now_is.state is StreamState.LIVE:
        if event.silent < rules.stall:
            return replace(now_is, deadline=now + rules.stall - event.silent), Action.NOTHING
        code, detail = _silence(event)
        attempt = _attempt(now_is, now, rules)
        stalled = Supervised(StreamState.STALLED, now, now + rules.give_up, attempt, code, detail)
        return stalled, Action.NOTHING
    code, detail = _silence(event)
    return _retry(now_is, now, rules, jitter, code, detail)


def _silence(event: Deadline) -> tuple[str, str]:
    seconds = f"{round(event.silent, 1):g} s"
    if event.has_packets:
        return "source_undecodable", (
            f"The camera sends data, but no picture could be decoded for {seconds}: check its"
            " codec and key frame interval."
        )
    return "source_silent", f"The camera sent nothing for {seconds}."


def _retry(
    now_is: Supervised,
    now: float,
    rules: Rules,
    jitter: float,
    code: str,
    detail: str,
    refused: bool = False,
) -> Decision:
    attempt = _attempt(now_is, now, rules)
    seconds = rules.refused if refused else backoff(attempt, rules, jitter)
    state = Supervised(StreamState.BACKOFF, now, now + seconds, attempt + 1, code, detail)
    return state, Action.CLOSE


def _attempt(now_is: Supervised, now: float, rules: Rules) -> int:
    healthy = now_is.state is StreamState.LIVE and now - now_is.since >= rules.settled
    return 0 if healthy else now_is.attempt


def _connect(now: float, rules: Rules, attempt: int) -> Decision:
    state = Supervised(StreamState.CONNECTING, now, now + rules.connect, attempt)
    return state, Action.OPEN


def _over(now_is: Supervised, state: StreamState, now: float, code: str, detail: str) -> Decision:
    return Supervised(state, now, code=code, detail=detail), _close(now_is)


def _close(now_is: Supervised) -> Action:
    return Action.CLOSE if now_is.state.has_source else Action.NOTHING
