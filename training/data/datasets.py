"""Open datasets by name; each of them gives clips of labelled pictures.

To train on another one, write a function that finds its clips (as in ``camvid.py`` and ``vspw.py``)
and add a line to ``FINDERS`` and to ``models.classes.DATASETS``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from models import classes
from models.spec import ClassLabel
from training.data.camvid import SPLITS, camvid, camvid32
from training.data.clips import Clip, Sample, class_shares, read_image, read_label, split_clips
from training.data.labels import VOID, DataError
from training.data.vspw import vspw, vspw_person

__all__ = [
    "FINDERS",
    "SPLITS",
    "VOID",
    "Clip",
    "DataError",
    "Dataset",
    "Sample",
    "camvid",
    "class_shares",
    "open_dataset",
    "read_image",
    "read_label",
    "split_clips",
]

FINDERS: dict[str, Callable[[Path, str], list[Clip]]] = {
    "camvid": camvid,
    "camvid32": camvid32,
    "vspw": vspw,
    "vspw-person": vspw_person,
}


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset in a folder; ``about`` is its name, licence and classes for a model's spec."""

    name: str
    root: Path
    about: classes.Dataset

    @property
    def classes(self) -> tuple[ClassLabel, ...]:
        return self.about.classes

    def clips(self, split: str) -> list[Clip]:
        """Return the clips of ``train``, ``val`` or ``test``, at least one.

        Raises DataError if there is none, a folder, a list or a label is missing, or a name cannot
        be parsed.
        """
        if split not in SPLITS:
            raise DataError(f"{self.name} has the splits {', '.join(SPLITS)}, not {split!r}.")
        clips = FINDERS[self.name](self.root, split)
        if not any(clips):
            raise DataError(f"{self.root} holds no picture of {split}; check --data.")
        return clips


def open_dataset(name: str, root: Path) -> Dataset:
    """Return the dataset without looking into ``root``. Raises DataError if the name is unknown."""
    if name not in FINDERS:
        raise DataError(f"There is no dataset {name!r}; choose from {', '.join(FINDERS)}.")
    return Dataset(name, root, classes.DATASETS[name])
