"""One little network, traced once for all that is made of graphs for TensorRT."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnx
import pytest
import torch
from fake_builds import SIZE
from onnx import ModelProto

from export.graph import trace
from export.to_trt_graph import TrtGraph, adapt
from models import checkpoint, source
from models.build import Recipe, build
from models.spec import ModelSpec


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    recipe = Recipe(output_stride=32)
    path = tmp_path_factory.mktemp("checkpoint") / "trained.pt"
    checkpoint.save(path, recipe, build(recipe).state_dict(), dataset="camvid")
    return path


@pytest.fixture(scope="session")
def plain(trained: Path) -> tuple[ModelProto, ModelSpec]:
    """The fp16 graph as export/to_onnx.py --attention portable writes it."""
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
