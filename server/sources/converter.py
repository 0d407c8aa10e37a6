"""Conversion of surfaces to RGB at the model's size, on the device where they are."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from server.errors import Fault
from server.frame import HOST, DevicePixels
from server.sources.orientation import Orientation
from server.sources.surface import Layout, Plane, Surface, colours, resampling, scaling

GEOMETRIES = 8
"""Geometries whose weights are cached; from 1920x1080 to 960x720 they are 35 MB."""

_CUDA = "CUDAExecutionProvider"
_CPU = "CPUExecutionProvider"
_ERRORS_ONLY = 3


class Converter:
    """Converts with ONNX Runtime on CUDA device ``device``; HOST does the same on the CPU.

    Nothing is copied to the host: a surface is read in place, and each picture gets a buffer from
    ONNX Runtime's arena, which is returned when the last Frame that uses it is gone. The queues in
    which Frames wait limit the number of buffers. Many threads may use it at once. Raises Fault if
    the device cannot be used.
    """

    def __init__(self, device: int) -> None:
        self.device = device
        self._place = ("cpu", 0) if device == HOST else ("cuda", device)
        self._sessions = [_open(graph_file(turned), device) for turned in (False, True)]
        self._scaler = _open(SCALE_GRAPH, device)
        self._weights = lru_cache(GEOMETRIES)(self._load_weights)
        self._scaling = lru_cache(GEOMETRIES)(self._load_scaling)
        self._colours = lru_cache()(self._load_colours)

    def __repr__(self) -> str:
        return f"<Converter {self._place[0]}:{self._place[1]}>"

    def convert(self, surface: Surface, turn: Orientation, height: int, width: int) -> DevicePixels:
        """Return the picture as displayed, (height, width, 3) RGB; then the surface may be freed.

        The result is exact up to rounding; the CPU's path (swscale's fast one) is about one grey
        level darker. Colours are clipped after scaling, on the CPU before it, so colours out of
        range differ by more. GPUs multiply in TensorFloat-32, which adds at most a quarter of a
        level.
        """
        assert surface.device == self.device, f"{surface.device} is not {self.device}"
        turned, weights = self._weights(surface.layout, turn, height, width)
        session = self._sessions[turned]
        binding = session.io_binding()
        self._bind_plane(binding, "luma", surface.luma)
        self._bind_plane(binding, "chroma", surface.chroma)
        for name, held in (weights | self._colours(surface.matrix, surface.full)).items():
            binding.bind_ortvalue_input(name, held)
        return self._run(session, binding, height, width)

    def scale(self, picture: DevicePixels, height: int, width: int) -> DevicePixels:
        """Return the picture scaled to (height, width) as by ``fit``; the original may then be
        released."""
        assert picture.device == self.device, f"{picture.device} is not {self.device}"
        rows, columns, _ = picture.shape
        binding = self._scaler.io_binding()
        self._bind_plane(binding, "picture", Plane(picture.pointer, rows, columns * 3))
        for name, held in self._scaling((rows, columns), (height, width)).items():
            binding.bind_ortvalue_input(name, held)
        return self._run(self._scaler, binding, height, width)

    def _run(self, session: Any, binding: Any, height: int, width: int) -> DevicePixels:
        binding.bind_output("rgb", *self._place)
        session.run_with_iobinding(binding)
        binding.synchronize_outputs()
        (rgb,) = binding.get_outputs()
        return DevicePixels((height, width, 3), self.device, rgb.data_ptr(), rgb)

    def _bind_plane(self, binding: Any, name: str, plane: Plane) -> None:
        shape = (plane.rows, plane.pitch)
        binding.bind_input(name, *self._place, np.uint8, shape, plane.pointer)

    def _load_weights(
        self, layout: Layout, turn: Orientation, height: int, width: int
    ) -> tuple[bool, dict[str, Any]]:
        found = resampling(layout, turn, height, width)
        names = ("luma_rows", "luma_columns", "chroma_rows", "chroma_columns")
        return found.turned, {name: self._hold(getattr(found, name)) for name in names}

    def _load_scaling(self, size: tuple[int, int], wanted: tuple[int, int]) -> dict[str, Any]:
        down, across = scaling(size, wanted)
        return {"rows": self._hold(down), "columns": self._hold(np.ascontiguousarray(across.T))}

    def _load_colours(self, matrix: int, full: bool) -> dict[str, Any]:
        weights, offset = colours(matrix, full)
        return {"colours": self._hold(weights), "offset": self._hold(offset)}

    def _hold(self, values: NDArray[np.float32]) -> Any:
        return ort.OrtValue.ortvalue_from_numpy(values, *self._place)


SCALE_GRAPH = Path(__file__).with_name("rgb_to_size.onnx")
"""The graph that only scales, from RGB to RGB, also written by export/pixel_graphs.py."""


def graph_file(turned: bool) -> Path:
    """Return the path of the graph, which export/pixel_graphs.py wrote."""
    return Path(__file__).with_name(f"nv12_to_rgb{'_turned' if turned else ''}.onnx")


def _open(graph: Path, device: int) -> Any:
    options = ort.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.intra_op_num_threads = 1
    wanted = _CPU if device == HOST else _CUDA
    if wanted not in ort.get_available_providers():
        raise Fault(f"ONNX Runtime has no {wanted} here: install onnxruntime-gpu.")
    providers = [_CPU] if device == HOST else [(_CUDA, {"device_id": str(device)})]
    session = ort.InferenceSession(graph, options, providers=providers)
    if session.get_providers()[0] != wanted:
        raise Fault(f"ONNX Runtime cannot use CUDA device {device}; its log says why.")
    return session
