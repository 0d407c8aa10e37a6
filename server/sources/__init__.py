"""Where frames come from: a plain table from name to module, imported only when chosen.

A new source is one file and one line here; the contract tests run over every row.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING

from server.errors import Fault
from server.sources.base import Source
from server.sources.cuda_driver import driver_installed
from server.sources.hardware import Hardware

if TYPE_CHECKING:  # pydantic would double the start of the process that looks at uploads
    from server.settings import DecodeSettings

_log = logging.getLogger(__name__)

SOURCES = {
    "container": "server.sources.container:ContainerSource",
    "synthetic": "server.sources.synthetic:SyntheticSource",
}


def source_class(name: str) -> type[Source]:
    """The class behind a name of the table. KeyError for another name: our own mistake."""
    module, _, attribute = SOURCES[name].partition(":")
    found = getattr(import_module(module), attribute)
    assert isinstance(found, type) and issubclass(found, Source)
    return found


def open_hardware(settings: DecodeSettings) -> Hardware | None:
    """The GPU that is to decode videos; None where the CPU is.

    Under ``auto`` the CPU is where no GPU can, and the log says why if there seems to be one.
    Raises Fault where a GPU was asked for and cannot decode.
    """
    required = settings.device == "gpu"
    if settings.device == "cpu" or not (required or driver_installed()):
        return None
    try:
        nvdec = import_module("server.sources.nvdec")
        hardware = nvdec.open_nvdec(settings.ordinal, required=required)
    except Fault as fault:
        if required:
            raise
        _log.warning("videos are decoded on the CPU: %s", fault)
        return None
    assert isinstance(hardware, Hardware)
    return hardware
