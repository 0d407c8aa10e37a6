"""Segments a recording again in this process: ``mastream replay FILE``."""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from server.commands.stopping import stoppable
from server.engines import make_engine
from server.engines.base import Engine
from server.errors import BadRecording, MastreamError
from server.recordings.recording_file import read
from server.recordings.records import Ending, Lost, Masked, Opening, Rebuilt, Record
from server.recordings.replaying import Replayed, Retried, check_model, replay
from server.settings import Settings


@dataclass(slots=True)
class Tally:
    """What was replayed so far."""

    masks: int = 0
    differing: int = 0
    first: str = ""
    resets: Counter[str] = field(default_factory=Counter)
    drops: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    rebuilt: int = 0
    ended: str = ""


def replay_file(file: Path, settings: Settings) -> int:
    """Replay a recording, print what is in it and the verdict, and return the exit code.

    0: all masks are equal. 1: a mask differs, the file is damaged, or the model is not the recorded
    one. 130, 143 or 129: SIGINT, SIGTERM or SIGHUP stopped it.
    """
    tally = Tally()
    with stoppable() as stop:
        try:
            _replay(file, settings, tally)
        except MastreamError as error:
            if isinstance(error, BadRecording) and tally.masks:
                _print_verdict(tally)
            print(f"mastream: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("mastream: Interrupted.", file=sys.stderr)
            return stop.exit_code
    _print_verdict(tally)
    return 1 if tally.differing else 0


def _replay(file: Path, settings: Settings, tally: Tally) -> None:
    blocks = read(file)
    opening = next(blocks).record
    assert isinstance(opening, Opening), "a recording begins with its opening"
    with closing(make_engine(settings.engine)) as engine:
        check_model(opening, engine.spec)
        _print_opening(opening, engine)
        limit = settings.streams.max_pixels
        for outcome in replay(blocks, engine, limit):
            _count(tally, outcome)


def _print_opening(opening: Opening, engine: Engine) -> None:
    stream = f"pulled stream {opening.stream}" if opening.stream else "pushed stream"
    print(f"{stream}, policy {opening.policy}, recorded by mastream {opening.version}")
    ran, runs = f"{opening.provider} on {opening.device}", f"{engine.provider} on {engine.device}"
    print(f"model {engine.spec.name}: recorded with {ran}, replayed with {runs}")
    if opening.provider != engine.provider:
        print("Another provider ran the model, so masks may differ without a fault.")


def _count(tally: Tally, outcome: Record | Replayed | Retried) -> None:
    match outcome:
        case Replayed(record=record):
            _count_mask(tally, record, outcome.difference)
        case Lost(seqs=seqs, cause=cause):
            tally.drops[cause] += len(seqs)
            print(f"dropped ({cause}): {_shortened(seqs)}")
        case Retried(record=failed, outcome=here):
            tally.failed += 1
            what = f"{failed.detail.rstrip('.')}; {here.rstrip('.')}"
            print(f"failed ({failed.code}): frame {failed.seq}: {what}")
        case Rebuilt(seq=seq):
            tally.rebuilt += 1
            print(f"rebuilt: the engine had died, frame {seq} was segmented again")
        case Ending(why=why):
            tally.ended = why


def _count_mask(tally: Tally, record: Masked, difference: str) -> None:
    if record.reset:
        tally.resets[record.reset] += 1
        print(f"reset ({record.reset}): before frame {record.seq}")
    if difference:
        tally.differing += 1
        if not tally.first:
            tally.first = f"frame {record.seq} (mask {tally.masks}): {difference}"
    tally.masks += 1


def _print_verdict(tally: Tally) -> None:
    counts = {
        "masks": tally.masks,
        "resets": tally.resets.total(),
        "dropped": tally.drops.total(),
        "failed": tally.failed,
        "rebuilt": tally.rebuilt,
    }
    print(", ".join(f"{count} {name}" for name, count in counts.items()))
    ended = tally.ended or "not ended: the server was stopped, or the file is not whole"
    print(f"the recording's end: {ended}")
    if tally.differing:
        print(f"{tally.differing} of {tally.masks} masks differ; the first is {tally.first}")
    else:
        print(f"all {tally.masks} masks equal")


def _shortened(seqs: tuple[int, ...]) -> str:
    shown = ", ".join(map(str, seqs[:8]))
    return f"{shown} and {len(seqs) - 8} more" if len(seqs) > 8 else shown
