"""One small network, traced once for all tests of graphs for TensorRT."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from fake_builds import SIZE
from onnx import ModelProto
from small_networks import lively, save, small_trunks

from export import to_onnx
from export.graph import trace
from export.to_trt_graph import TrtGraph, adapt
from models import source
from models.build import Recipe
from models.spec import ModelSpec


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with weights that make all classes and norms that are not the identity."""
    recipe = Recipe(output_stride=32)
    with small_trunks():
        path = tmp_path_factory.mktemp("checkpoint") / "trained.pt"
        return save(path, recipe, lively(recipe))


@pytest.fixture(scope="session")
def exported(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artefact in the form that is shipped: weights as int8, fused attention."""
    path = tmp_path_factory.mktemp("exported") / "shipped.onnx"
    asked = [str(trained), "-o", str(path), "--size", "96x64", "--weights", "int8", "--no-verify"]
    with small_trunks():
        assert to_onnx.main(asked) == 0
    return path


@pytest.fixture(scope="session")
def plain(trained: Path) -> tuple[ModelProto, ModelSpec]:
    """The fp16 graph as export/to_onnx.py --attention portable writes it."""
    with small_trunks():
        network, recipe, spec = source.load(trained)
    spec = replace(source.describe(network, spec, SIZE, "fp16"), weights="fp16")
    return trace(network, recipe, spec, "portable"), spec


@pytest.fixture
def graph(plain: tuple[ModelProto, ModelSpec]) -> TrtGraph:
    model, spec = plain
    return TrtGraph(adapt(model), spec, "fp16")


@pytest.fixture
def ready(plain: tuple[ModelProto, ModelSpec], tmp_path: Path) -> Path:
    path = tmp_path / "ready.onnx"
    onnx.save(plain[0], path)
    return path
