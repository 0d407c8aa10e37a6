"""The choice of PyTorch's engine by device: a GPU before the CPU."""

from __future__ import annotations

from functools import partial

from server.engines.base import Engine
from server.engines.choosing import first_that_works
from server.engines.onnx_graph import shipped_model
from server.engines.pytorch import TorchEngine
from server.engines.pytorch_gpu import TorchGpuEngine
from server.settings import EngineSettings


class TorchDevices:
    """The row ``pytorch``: it is not an engine itself but chooses one."""

    @classmethod
    def from_settings(cls, settings: EngineSettings) -> Engine:
        return first_that_works(
            settings,
            [("cuda", partial(_on_cuda, settings))],
            partial(TorchEngine.from_settings, settings),
        )


def _on_cuda(settings: EngineSettings) -> Engine:
    model = settings.model or shipped_model()
    return TorchGpuEngine(model, ordinal=settings.device, max_batch=settings.max_batch)
