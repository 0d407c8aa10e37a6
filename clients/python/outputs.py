"""Write files and folders; check that it will be possible before the work starts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from clients.python.errors import BadOutput


def check_file(path: Path) -> None:
    """Raise BadOutput unless a file can be written at ``path``; change nothing there."""
    with output_errors(path):
        place = Path(os.path.realpath(path))  # resolve() raises RuntimeError for a loop
        if place.is_dir():
            raise BadOutput(f"{path} is a folder; give the name of a file.")
        if not place.exists():
            place.touch(exist_ok=False)
            place.unlink()
        elif place.is_file():
            place.open("ab").close()
        elif not os.access(place, os.W_OK):
            raise BadOutput(f"{path} cannot be written: permission denied.")


def write_file(path: Path, text: str) -> None:
    """Write a file atomically. Raises BadOutput."""
    with output_errors(path), whole_file(path) as part:
        part.write_text(text)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to ``path``; if the block succeeds, its file replaces the one
    at ``path``, otherwise it is removed. A device or pipe at ``path`` is written to directly."""
    place = Path(os.path.realpath(path))
    if place.is_symlink() or (place.exists() and not place.is_file()):  # a link that is a loop
        yield place
        return
    part = place.with_name(f".{place.stem}.part{place.suffix}")
    try:
        yield part
        part.replace(place)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def output_errors(path: Path) -> Iterator[None]:
    """Translate errors of writing to ``path`` into BadOutput."""
    try:
        yield
    except OSError as error:
        raise BadOutput(f"{path} cannot be written: {error.strerror or error}.") from error


@contextmanager
def results_folder(out: Path) -> Iterator[Path]:
    """Yield a temporary folder to write in. If the block succeeds, its files move to ``out``;
    otherwise ``out`` and its parents are removed too if this function made them. Raises BadOutput.
    """
    made: list[Path] = []
    try:
        with output_errors(out):
            made += [parent for parent in (out, *out.parents) if not parent.exists()]
            out.mkdir(parents=True, exist_ok=True)
            scratch = TemporaryDirectory(dir=out, prefix=".segmenting-")
        with scratch:
            yield Path(scratch.name)
            _move(Path(scratch.name), out)
    except BaseException:
        for parent in made:
            with suppress(OSError):
                parent.rmdir()
        raise


def _move(folder: Path, out: Path) -> None:
    """Move all files or none: obstacles are found before the first file is moved."""
    files = list(folder.iterdir())
    for file in files:
        if (out / file.name).is_dir():
            raise BadOutput(f"{out / file.name} is a folder; remove it or choose another place.")
    for file in files:
        with output_errors(out / file.name):
            file.replace(out / file.name)
