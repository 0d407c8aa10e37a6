"""How a video's results show its masks: which classes, and how strongly they are drawn."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from models.spec import ClassLabel
from server.errors import BadRequest

OPACITY = 0.5
MAX_SHOWN = 80
"""Maximum characters of a client's own text that an error repeats."""


@dataclass(frozen=True, slots=True)
class Style:
    """The names of the classes that are shown, None for all, and the overlay's opacity, 0 to 1.

    Names are compared without regard to case.
    """

    classes: tuple[str, ...] | None = None
    opacity: float = OPACITY

    def shown(self, classes: Sequence[ClassLabel]) -> list[int]:
        """Return the indices of those of a model's classes that are shown, in its order.

        Raises BadRequest if the model has no class with one of the names.
        """
        names = [label.name for label in classes]
        if self.classes is None:
            return list(range(len(names)))
        _check_known(self.classes, names)
        wanted = {name.casefold() for name in self.classes}
        return [index for index, name in enumerate(names) if name.casefold() in wanted]

    def of(self, classes: Sequence[ClassLabel]) -> Style:
        """Return the style with its names in the order of a model's classes, each once.

        Raises BadRequest as :meth:`shown`.
        """
        if self.classes is None:
            return self
        names = tuple(classes[index].name for index in self.shown(classes))
        return replace(self, classes=names)

    def is_shown(self, classes: Sequence[ClassLabel]) -> NDArray[np.uint8] | None:
        """Return 255 for each label that is shown and 0 for others, (256,) uint8; None if all are.

        Raises BadRequest as :meth:`shown`.
        """
        if self.classes is None:
            return None
        table = np.zeros(256, np.uint8)
        table[self.shown(classes)] = 255
        return table

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any] | None) -> Self:
        """Return the style that :meth:`to_dict` described; None is the default one."""
        given = dict(values or {})
        if given.get("classes") is not None:
            given["classes"] = tuple(given["classes"])
        return cls(**given)


DEFAULT = Style()


def chosen_style(classes: str | None, opacity: str | None) -> Style:
    """Return the style given by a comma-separated list of classes and an opacity.

    Raises BadRequest if the opacity is not a number from 0 to 1.
    """
    names = None if classes is None else tuple(name.strip() for name in classes.split(","))
    return Style(names, _opacity(opacity))


def _check_known(wanted: Collection[str], known: Collection[str]) -> None:
    there = {name.casefold() for name in known}
    unknown = sorted(name for name in wanted if name.casefold() not in there)
    if unknown:
        name = unknown[0][:MAX_SHOWN]
        raise BadRequest(f"The model has no class {name!r}; choose from {', '.join(known)}.")


def _opacity(asked: str | None) -> float:
    if asked is None:
        return OPACITY
    try:
        opacity = float(asked)
    except ValueError:
        opacity = -1.0
    if not 0 <= opacity <= 1:
        raise BadRequest(
            f"The opacity {asked[:MAX_SHOWN]!r} is not possible: give a number from 0 to 1."
        )
    return opacity
