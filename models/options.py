"""In what the paper, the authors' release and we differ: options of a memory, and presets of them.

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
        raise ValueError(f"{field} must be one of {', '.join(map(str, allowed))}, not {value}")


@dataclass(frozen=True)
class MemoryOptions:
    """All that paper, release and we differ in. ``stages`` None: those that the head reads.

    ``key_norm``: over its channels a key is a softmax times 10 (release), or has the length 10 so
    that attention logits are 100 times a cosine, or stays raw (paper). ``mixing``: what was
    recalled is added (eq. 3), or blended in by a share that each channel learns.
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
            raise ValueError("a memory keeps at least one frame")
        if not 0 < self.ratio <= 1:
            raise ValueError(f"ratio is a share of the channels, not {self.ratio}")

    @property
    def horizon(self) -> int | None:
        """On how many past frames a result depends; None where it is unbounded."""
        return self.frames if self.memory_value == "selected" else None

    def selected(self, channels: int) -> int:
        """How many channels of a stage memory acts on; even, at least 2."""
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
"""The release's PCMA behind the stages that the head reads: what preset ``default`` meant in files
that keep its name and not what it means."""


def memory_options(preset: str = "default", **changes: object) -> MemoryOptions:
    """A preset with some fields changed; a list of stages, as JSON has it, will do.

    Raises ValueError for an unknown preset or value.
    """
    _one_of("preset", preset, tuple(PRESETS))
    if isinstance(stages := changes.get("stages"), list):
        changes["stages"] = tuple(stages)
    return replace(PRESETS[preset], **changes)  # type: ignore[arg-type]  # checked when made
