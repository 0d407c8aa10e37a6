"""Sources of frames: a plain table from name to module, which is imported only when chosen.

A new source is one file and one line here; the contract tests run over every row.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING

from server.errors import Fault
from server.sources.base import Source
from server.sources.hardware import Hardware
from server.sources.pictures.cuda_driver import driver_installed

if TYPE_CHECKING:  # importing pydantic would double the start-up time of the probing process
    from server.settings import DecodeSettings
    from server.sources.sandbox.decoder import Sandbox

_log = logging.getLogger(__name__)

SOURCES = {
    "container": "server.sources.container:ContainerSource",
    "synthetic": "server.sources.synthetic:SyntheticSource",
}


def source_class(name: str) -> type[Source]:
    """Return the class for a name in the table. Raises KeyError for another name."""
    module, _, attribute = SOURCES[name].partition(":")
    found = getattr(import_module(module), attribute)
    assert isinstance(found, type) and issubclass(found, Source)
    return found


def open_sandbox(settings: DecodeSettings) -> Sandbox | None:
    """Return the sandbox in which videos and cameras are decoded, once both were as far as the
    settings say; None if they need none.

    Raises Fault if this machine has none, or if it does not work.
    """
    if not settings.sandbox:
        return None
    module = import_module("server.sources.sandbox.decoder")
    found: Sandbox = module.Sandbox(settings.sandbox_bytes, settings.sandbox_seconds)
    trial = import_module("server.sources.sandbox.trial")
    trial.check_sandbox(found)
    if settings.sandbox_cameras:
        trial.check_sandbox_of_cameras(found)
    return found


def open_hardware(settings: DecodeSettings) -> Hardware | None:
    """Return the GPU that is to decode videos; None if the CPU does.

    Under ``auto`` the CPU decodes if no GPU can; the reason is logged if there seems to be a GPU.
    Raises Fault if a GPU was requested and cannot decode.
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
