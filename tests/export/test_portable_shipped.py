"""The shipped model is rewritten to standard operators."""

from __future__ import annotations

import numpy as np

from export import comparing, runners
from export.portable import rewrite
from models import described, source
from server.engines.onnx_graph import shipped_model


def test_the_shipped_model_loses_its_levels_and_nothing_else() -> None:
    model = described.read(shipped_model())
    rewritten, spec = rewrite(model, "fp32")
    assert {"QuantizeLinear", "DequantizeLinear"}.isdisjoint(
        n.op_type for n in rewritten.graph.node
    )
    runner = runners.Runner(rewritten.SerializeToString(), spec)
    network = runners.TorchRunner(source.load(shipped_model())[0])
    shape = (2, spec.height, spec.width, 3)
    frames = list(np.random.default_rng(0).integers(0, 256, shape, np.uint8))
    check = comparing.compare_clip(
        runner, network, spec, frames, "it", comparing.TOLERANCES["fp32"]
    )
    assert check.held, check.detail
