"""Parity with the release, without Paddle."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from models.build import Recipe, build
from models.parity import TOLERANCE, main, prescribed, relative_error, release_network
from models.release import ReleaseError, load_release, release_shapes


@pytest.fixture(scope="module")
def conformance(data: Path) -> Path:
    return data.parent / "conformance"


@pytest.mark.data
def test_deeplabv3plus_computes_what_the_release_computes(
    conformance: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(conformance / "release_deeplabv3plus.npz")]) == 0
    told = capsys.readouterr().out
    assert all(f"{field}_t{t}" in told for field in ("c1", "c4", "logits") for t in (1, 2, 3))
    assert f"tolerance {TOLERANCE:.0e}" in told


@pytest.mark.data
def test_another_salt_is_another_network(conformance: Path) -> None:
    assert main([str(conformance / "release_deeplabv3plus.npz"), "--salt", "b:"]) == 1


@pytest.mark.data
def test_names_and_shapes_are_the_releases_own(conformance: Path) -> None:
    text = (conformance / "release_deeplabv3plus.parameters.json").read_text()
    theirs = {name: tuple(shape) for name, shape in json.loads(text).items()}
    ours = release_shapes(release_network("deeplabv3plus", 19, "a:"))
    assert ours.items() <= theirs.items()
    # The release makes a fourth memory that it never uses.
    assert all("mem_2048" in name for name in theirs.keys() - ours.keys())


def test_a_file_that_holds_no_vectors_exits_2(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", frames=np.zeros((2, 32, 32, 3), np.uint8))
    assert main([str(tmp_path / "other.npz")]) == 2
    assert main([str(tmp_path / "absent.npz")]) == 2


def test_vectors_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    logits = np.full((3, 8, 8), np.nan, np.float32)
    frames = np.zeros((2, 32, 32, 3), np.uint8)
    np.savez(tmp_path / "nan.npz", frames=frames, logits_t1=logits)
    assert main([str(tmp_path / "nan.npz")]) == 2


def test_a_bias_before_a_norm_is_folded_into_its_mean() -> None:
    network = build(Recipe("deeplabv3plus", "ma-resnet50_vd", 3, 8, "release"))
    state = {n: torch.rand(s) for n, s in release_shapes(network).items()}
    load_release(network, state)
    norm = network.head.get_submodule("low_level.bn")
    mean = state["head.decoder.conv_bn_relu1._batch_norm._mean"]
    bias = state["head.decoder.conv_bn_relu1._conv.bias"]
    torch.testing.assert_close(norm.running_mean, mean - bias)


def test_a_missing_or_misshapen_parameter_is_named() -> None:
    network = build(Recipe("deeplabv3plus", "ma-resnet50_vd", 3, 8, "release"))
    state = {n: torch.rand(s) for n, s in release_shapes(network).items()}
    name = "backbone.bb_0_0.conv0._conv.weight"
    with pytest.raises(ReleaseError, match=f"{name} is missing"):
        load_release(network, {k: v for k, v in state.items() if k != name})
    with pytest.raises(ReleaseError, match="has shape"):
        load_release(network, {**state, name: torch.rand(1)})


def test_a_network_that_the_release_lacks_is_refused() -> None:
    with pytest.raises(ReleaseError, match="no counterpart"):
        release_shapes(build(Recipe("deeplabv3plus", "ma-resnet50", 3)))


def test_prescribed_values_follow_the_name() -> None:
    assert prescribed("x._variance", (4,), "a:").min() >= 0.5
    narrow = prescribed("y.conv2._batch_norm.weight", (50,), "a:")
    assert narrow.min() >= 0.225 and narrow.max() <= 0.375
    assert not np.array_equal(prescribed("z.bias", (4,), "a:"), prescribed("z.bias", (4,), "b:"))


def test_relative_error_never_hides_a_nan() -> None:
    clean = np.ones(3, np.float32)
    assert relative_error(np.array([1, np.nan, 1], np.float32), clean) == float("inf")
    assert relative_error(clean * 1.5, clean) == pytest.approx(0.5)
