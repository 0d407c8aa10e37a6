"""Write the graphs with which the server converts a decoder's surface to RGB on the device.

    python -m export.pixel_graphs      # writes server/sources/*.onnx again

They consist of matrix products, so that every execution provider computes the same, and the server
does not need ``onnx`` to use them. The output of each is ``rgb`` (height, width, 3) uint8. Inputs:

- nv12_to_rgb.onnx and, for pictures that are displayed a quarter-turn from how they are stored,
  nv12_to_rgb_turned.onnx: ``luma`` (H, pitch) and ``chroma`` (H/2, pitch) uint8, whole rows with
  their padding; the weights of :class:`server.sources.surface.Resampling`; ``colours`` (3, 3) and
  ``offset`` (3,).
- rgb_to_size.onnx: ``picture`` (H, 3 W) uint8, ``rows`` (height, H), ``columns`` (W, width).
"""

from __future__ import annotations

from pathlib import Path

from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, checker, helper
from onnx.helper import make_node, make_tensor_value_info

from server.sources.converter import SCALE_GRAPH, graph_file

OPSET = 17


def pixel_graph(turned: bool) -> ModelProto:
    """Return the graph from a surface to RGB; ``turned`` swaps height and width."""
    nodes = [
        *_plane("luma"),
        *_plane("chroma"),
        make_node("Concat", ["luma_scaled", "chroma_scaled"], ["yuv"], axis=0),
        make_node("Transpose", ["yuv"], ["pixels"], perm=[2, 1, 0] if turned else [1, 2, 0]),
        make_node("MatMul", ["pixels", "colours"], ["coloured"]),
        make_node("Add", ["coloured", "offset"], ["exact"]),
        *_bytes("exact"),
    ]
    return _model("nv12_to_rgb", nodes, _inputs(), [])


def scale_graph() -> ModelProto:
    """Return the graph from RGB to RGB of another size."""
    nodes = [
        make_node("Cast", ["picture"], ["float"], to=TensorProto.FLOAT),
        make_node("MatMul", ["rows", "float"], ["rowed"]),
        make_node("Reshape", ["rowed", "pixels"], ["split"]),
        make_node("Transpose", ["split"], ["planar"], perm=[0, 2, 1]),
        make_node("MatMul", ["planar", "columns"], ["scaled"]),
        make_node("Transpose", ["scaled"], ["exact"], perm=[0, 2, 1]),
        *_bytes("exact"),
    ]
    inputs = [
        make_tensor_value_info("picture", TensorProto.UINT8, ["H", "W3"]),
        make_tensor_value_info("rows", TensorProto.FLOAT, ["height", "H"]),
        make_tensor_value_info("columns", TensorProto.FLOAT, ["W", "width"]),
    ]
    pixels = helper.make_tensor("pixels", TensorProto.INT64, [3], [0, -1, 3])
    return _model("rgb_to_size", nodes, inputs, [pixels])


def _model(
    name: str,
    nodes: list[NodeProto],
    inputs: list[ValueInfoProto],
    constants: list[TensorProto],
) -> ModelProto:
    limits = {"half": 0.5, "black": 0.0, "white": 255.0}
    graph = helper.make_graph(
        nodes,
        name,
        inputs=inputs,
        outputs=[make_tensor_value_info("rgb", TensorProto.UINT8, ["height", "width", 3])],
        initializer=[
            *(helper.make_tensor(key, TensorProto.FLOAT, [], [v]) for key, v in limits.items()),
            *constants,
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    model.producer_name = "mastream"
    checker.check_model(model, full_check=True)
    return model


def _bytes(name: str) -> list[NodeProto]:
    """Return the nodes that round and clip a tensor to the output ``rgb``."""
    return [
        # A cast truncates; adding one half first makes it round.
        make_node("Add", [name, "half"], ["rounded"]),
        make_node("Clip", ["rounded", "black", "white"], ["clipped"]),
        make_node("Cast", ["clipped"], ["rgb"], to=TensorProto.UINT8),
    ]


def _plane(name: str) -> list[NodeProto]:
    """Return the nodes that scale a plane to (channels, a, b).

    Rows come first: if the picture shrinks, that makes the smaller product.
    """
    return [
        make_node("Cast", [name], [f"{name}_float"], to=TensorProto.FLOAT),
        make_node("MatMul", [f"{name}_rows", f"{name}_float"], [f"{name}_rowed"]),
        make_node("MatMul", [f"{name}_rowed", f"{name}_columns"], [f"{name}_scaled"]),
    ]


def _inputs() -> list[ValueInfoProto]:
    byte, real = TensorProto.UINT8, TensorProto.FLOAT
    return [
        make_tensor_value_info("luma", byte, ["rows", "pitch"]),
        make_tensor_value_info("chroma", byte, ["chroma_rows_stored", "chroma_pitch"]),
        make_tensor_value_info("luma_rows", real, ["a", "rows"]),
        make_tensor_value_info("luma_columns", real, [1, "pitch", "b"]),
        make_tensor_value_info("chroma_rows", real, ["a", "chroma_rows_stored"]),
        make_tensor_value_info("chroma_columns", real, [2, "chroma_pitch", "b"]),
        make_tensor_value_info("colours", real, [3, 3]),
        make_tensor_value_info("offset", real, [3]),
    ]


def graphs() -> dict[Path, ModelProto]:
    """Return every graph by the path at which the server looks for it."""
    turns = {graph_file(turned): pixel_graph(turned) for turned in (False, True)}
    return turns | {SCALE_GRAPH: scale_graph()}


def write(folder: Path | None = None) -> list[Path]:
    """Write all graphs, to ``folder`` or to the server's own; return their paths."""
    written = []
    for place, graph in graphs().items():
        file = place if folder is None else folder / place.name
        file.write_bytes(graph.SerializeToString(deterministic=True))
        written.append(file)
    return written


if __name__ == "__main__":
    for file in write():
        print(file)
