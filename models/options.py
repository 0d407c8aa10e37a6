"""Memory options, with presets for the paper, the authors' release and our own default.

Needs no torch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

KEY_NORMS = ("softmax", "length", "none")
MIXINGS = ("add", "blend")
MEMORY_VALUES = ("selected", "enhanced")
ATTENTION_STRIDES = (1, 2, 4)


def _one_of(field: str, value: object, allowed: tuple[object, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"Set {field} to one of {', '.join(map(str, allowed))}, not {value}.")


@dataclass(frozen=True)
class MemoryOptions:
    """The options of a memory. ``stages`` None means the stages that the head reads.

    ``frames`` is T, ``ratio`` is r, the share of the channels that memory acts on.
    ``attention_stride`` is the down-sampling of the attention.
    ``key_norm``: ``softmax`` over the channels times 10 (release), ``length`` 10, so that attention
    logits are 100 times a cosine, or ``none`` (paper). ``memory_value``: memory stores the
    ``selected`` channels (release) or the ``enhanced`` ones (paper).
    ``enhanced_norm``: batch norm and ReLU before eq. 3 (release). ``mixing``: the recalled map is
    added (eq. 3), or blended in with a share that each channel learns. ``judge`` applies eq. 5.
    Raises ValueError if a value is not allowed.
    """

    stages: tuple[int, ...] | None = (4,)
    frames: int = 2
    ratio: float = 0.25
    attention_stride: int = 2
    key_norm: str = "length"
    memory_value: str = "selected"
    enhanced_norm: bool = False
    mixing: str = "blend"
    judge: bool = False

    def __post_init__(self) -> None:
        _one_of("key_norm", self.key_norm, KEY_NORMS)
        _one_of("mixing", self.mixing, MIXINGS)
        _one_of("memory_value", self.memory_value, MEMORY_VALUES)
        _one_of("attention_stride", self.attention_stride, ATTENTION_STRIDES)
        if self.frames < 1:
            raise ValueError(f"Keep at least one frame in memory, not {self.frames}.")
        if not 0 < self.ratio <= 1:
            raise ValueError(f"Set ratio to a share above 0 and at most 1, not {self.ratio}.")

    @property
    def horizon(self) -> int | None:
        """The number of past frames on which a result depends; None if it is unbounded."""
        return self.frames if self.memory_value == "selected" else None

    def selected(self, channels: int) -> int:
        """Return how many of a stage's channels memory acts on: an even number, at least 2."""
        return max(2, round(channels * self.ratio / 2) * 2)


PRESETS = {
    "default": MemoryOptions(),
    "paper": MemoryOptions(
        stages=(1, 2, 3, 4),
        key_norm="none",
        memory_value="enhanced",
        mixing="add",
        judge=True,
    ),
    "release": MemoryOptions(
        stages=(1, 2, 3),
        frames=1,
        key_norm="softmax",
        enhanced_norm=True,
        mixing="add",
    ),
}

UNSPELLED = {"stages": None, "key_norm": "softmax", "enhanced_norm": True, "mixing": "add"}
"""Preset ``default`` in old recipes that store its name but not its values: the release's PCMA
after the stages that the head reads."""


def memory_options(preset: str = "default", **changes: object) -> MemoryOptions:
    """Return a preset with some fields changed; ``stages`` may be a list, as in JSON.

    Raises ValueError if the preset or a value is unknown, TypeError if a field is.
    """
    _one_of("preset", preset, tuple(PRESETS))
    if isinstance(stages := changes.get("stages"), list):
        changes["stages"] = tuple(stages)
    return replace(PRESETS[preset], **changes)  # type: ignore[arg-type]  # checked when made
