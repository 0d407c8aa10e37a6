"""Pipes to processes that may end at any time."""

from __future__ import annotations

from threading import Thread

from living import open_files

from server.sources.sandbox.pipe import pipe, write_all


def test_everything_is_reported_however_much_it_is() -> None:
    data = bytes(range(256)) * 1024
    reader, writer = pipe()
    with reader:
        thread = Thread(target=lambda: (write_all(writer, data), writer.close()))
        thread.start()
        assert reader.readall() == data
        thread.join()


def test_who_has_ended_is_told_nothing_and_nothing_stays_open() -> None:
    before = open_files()
    reader, writer = pipe()
    with reader, writer:
        reader.close()
        write_all(writer, b"1" * 2**20)
    assert open_files() == before
