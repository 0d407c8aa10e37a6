"""Every head as a file: both attentions, both precisions, odd sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto
from small_networks import lively, save

from export import to_onnx
from export.comparing import TOLERANCES, compare_clip, compare_poisoned
from export.portable import rewrite
from export.runners import Runner, TorchRunner
from export.verify import verify
from models import artefact
from models.build import Recipe
from models.source import load

pytestmark = pytest.mark.usefixtures("small_networks")

HEADS = ("pspnet", "sfnet", "dnlnet")
ODD, EVEN = (45, 75), (64, 96)


@pytest.fixture(scope="module", params=HEADS)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with norms that are not the identity."""
    recipe = Recipe(request.param, output_stride=32)
    return save(tmp_path_factory.mktemp(request.param) / "trained.pt", recipe, lively(recipe))


@pytest.mark.parametrize(
    ("size", "attention", "precision"),
    [(ODD, "fused", "fp32"), (EVEN, "portable", "fp16")],
)
def test_a_head_exports_and_its_file_verifies(
    trained: Path, tmp_path: Path, size: tuple[int, int], attention: str, precision: str
) -> None:
    out = tmp_path / "head.onnx"
    spec = to_onnx.export(trained, out, size, attention=attention, precision=precision)
    model = artefact.read(out)
    kinds = [node.op_type for node in model.graph.node]
    assert not {"If", "Loop", "Scan"} & set(kinds)
    assert {opset.version for opset in model.opset_import if not opset.domain} == {20}
    assert kinds.count("GridSample") == (3 if spec.head == "sfnet" else 0)
    assert ("MultiHeadAttention" in kinds) == (attention == "fused")
    assert not any("supervision" in held.name for held in model.graph.initializer)
    checks = verify(out, trained, None, 3)
    assert len(checks) == 4 and all(check.held for check in checks), checks
    if attention == "fused":
        check_rewriting(model, trained)


def check_rewriting(model: ModelProto, trained: Path) -> None:
    """In float16, by standard operators, it still computes what its network computes."""
    rewritten, spec = rewrite(model, "fp16")
    onnx.checker.check_model(rewritten, full_check=True)
    assert {node.domain for node in rewritten.graph.node} == {""}
    frames = list(np.random.default_rng(0).integers(0, 256, (3, *ODD, 3), np.uint8))
    runner, network = Runner(rewritten.SerializeToString(), spec), TorchRunner(load(trained)[0])
    check = compare_clip(runner, network, spec, frames, "its network", TOLERANCES["fp16"])
    assert check.held, check.detail
    assert compare_poisoned(runner, spec, frames).held
