"""Write ``config.pbtxt`` for NVIDIA's Triton, with the memory as the implicit state of a sequence.

Triton keeps the state outputs of one request and passes them to the next request of the same
sequence. It pairs inputs and outputs by their positions in two lists sorted by name, whatever the
configuration says (triton-inference-server/server#8586), and gives a state without an axis 0 bytes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from export.graph import names
from models.spec import METADATA_KEY, ModelSpec

IDLE_SECONDS = 60
"""Seconds without a request after which Triton drops a sequence; its own default is 1 s."""


class TritonError(ValueError):
    """Triton cannot serve the model; the message says what to change."""


@dataclass(frozen=True)
class State:
    """One tensor of the memory: ``dims`` is its shape for one stream, ``kind`` Triton's type."""

    input_name: str
    output_name: str
    kind: str
    dims: tuple[int, ...]


@dataclass(frozen=True)
class Platform:
    """The backend that runs a model file in Triton."""

    name: str
    file: str


ONNX = Platform("onnxruntime_onnx", "model.onnx")
PLAN = Platform("tensorrt_plan", "model.plan")


def states(spec: ModelSpec) -> list[State]:
    """Return the states: count, then all keys, then all values.

    Raises TritonError if Triton would pair inputs and outputs wrongly.
    """
    inputs, outputs = (held[1:] for held in names(spec))
    paired = dict(zip(inputs, outputs, strict=True))
    if [paired[name] for name in sorted(inputs)] != sorted(outputs):
        raise TritonError(
            f"Triton pairs states by sorted names, and these do not pair; rename them ({paired})."
        )
    kind = "TYPE_FP16" if spec.precision == "fp16" else "TYPE_FP32"
    shapes = [(m.tokens, m.key_width) for m in spec.memory]
    shapes += [(m.tokens, m.value_width) for m in spec.memory]
    count = State(inputs[0], outputs[0], "TYPE_INT64", (1,))
    rest = zip(inputs[1:], outputs[1:], shapes, strict=True)
    return [count, *(State(i, o, kind, (spec.memory_frames, *shape)) for i, o, shape in rest)]


def config(spec: ModelSpec, name: str, platform: Platform, max_batch: int, sequences: int) -> str:
    """Return the text of ``config.pbtxt``.

    A batch has up to ``max_batch`` streams, oldest request first. At most ``sequences`` streams are
    active at once; others wait.
    """
    size = f"{spec.height}, {spec.width}"
    held = ",\n".join(map(_state, states(spec)))
    return f"""\
name: {json.dumps(name)}
platform: {json.dumps(platform.name)}
max_batch_size: {max_batch}
input [ {{ name: "frame" data_type: TYPE_UINT8 dims: [ {size}, 3 ] }} ]
output [ {{ name: "mask" data_type: TYPE_UINT8 dims: [ {size} ] label_filename: "labels.txt" }} ]
sequence_batching {{
  max_sequence_idle_microseconds: {IDLE_SECONDS * 10**6}
  oldest {{ max_candidate_sequences: {sequences} }}
  state [
{held}
  ]
}}
parameters {{ key: "{METADATA_KEY}" value {{ string_value: {json.dumps(spec.to_json())} }} }}
"""


def _state(state: State) -> str:
    """Return the text of a state that starts as zeros.

    Input and output have separate buffers: the new entry of a memory is written in front of the old
    ones, which must not be overwritten before they are read.
    """
    dims = ", ".join(map(str, state.dims))
    return f"""\
    {{
      input_name: "{state.input_name}"
      output_name: "{state.output_name}"
      data_type: {state.kind}
      dims: [ {dims} ]
      initial_state {{ name: "empty" data_type: {state.kind} dims: [ {dims} ] zero_data: true }}
    }}"""


def page(spec: ModelSpec, name: str, platform: Platform, max_batch: int) -> str:
    """Return the text of the README for the model's folder: how to call the model."""
    return f"""\
# {name}

{spec.head} on {spec.backbone}, {spec.width}x{spec.height}, {len(spec.classes)} classes
(`labels.txt`), trained on {spec.dataset}. Licence of the weights: {spec.licence}.

Each video stream is a sequence: Triton keeps its memory between frames. `frame` is uint8 RGB
(1, {spec.height}, {spec.width}, 3); `mask` is uint8 (1, {spec.height}, {spec.width}), one label \
per pixel. The parameter `{METADATA_KEY}` of the configuration
is the model's complete description. Up to {max_batch} streams share a step.

```python
import numpy as np
import tritonclient.grpc as triton

client = triton.InferenceServerClient("localhost:8001")
frames = [np.zeros((1, {spec.height}, {spec.width}, 3), np.uint8)] * 3
for index, frame in enumerate(frames):
    given = triton.InferInput("frame", list(frame.shape), "UINT8")
    given.set_data_from_numpy(frame)
    answer = client.infer(
        "{name}",
        [given],
        sequence_id=1,  # a different number or string for each stream; not 0
        sequence_start=index == 0,  # starts with an empty memory
        sequence_end=index == len(frames) - 1,
    )
    print(answer.as_numpy("mask").shape)
```

Send the frames of a stream in order. Triton ends a sequence after {IDLE_SECONDS} s without one.
{PLAN_NOTE if platform is PLAN else ""}"""


PLAN_NOTE = """
`1/model.plan` runs only on the GPU and the TensorRT version that built it (`1/model.plan.json`). A
version compatible plan needs `tritonserver --backend-config=tensorrt,version-compatible=true`.
"""
