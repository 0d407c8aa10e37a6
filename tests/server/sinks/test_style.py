"""Which classes are shown, and how strongly."""

from __future__ import annotations

import pytest

from models.spec import ClassLabel
from server.errors import BadRequest
from server.sinks.style import DEFAULT, Style, chosen_style

CLASSES = tuple(ClassLabel(name, (0, 0, 0)) for name in ("road", "sky", "car"))


def test_nothing_asked_for_is_the_default() -> None:
    assert chosen_style(None, None) == DEFAULT == Style(None, 0.5)
    assert DEFAULT.of(CLASSES) is DEFAULT
    assert DEFAULT.shown(CLASSES) == [0, 1, 2]
    assert DEFAULT.is_shown(CLASSES) is None


def test_chosen_classes_come_in_the_models_order_and_once() -> None:
    style = chosen_style(" Car,road , car", "0.25").of(CLASSES)
    assert style == Style(("road", "car"), 0.25)
    assert style.shown(CLASSES) == [0, 2]
    table = style.is_shown(CLASSES)
    assert table is not None and table.shape == (256,)
    assert table.nonzero()[0].tolist() == [0, 2] and set(table.tolist()) == {0, 255}


@pytest.mark.parametrize("classes", ["lake", "road,lake", "", "road,"])
def test_an_unknown_class_is_refused_with_the_known_ones(classes: str) -> None:
    with pytest.raises(BadRequest, match=r"no class '(lake)?'; choose from road, sky, car\."):
        chosen_style(classes, None).of(CLASSES)


@pytest.mark.parametrize(
    ("text", "opacity"), [("0", 0.0), ("1", 1.0), (" .5 ", 0.5), ("1e-3", 0.001)]
)
def test_opacities(text: str, opacity: float) -> None:
    assert chosen_style(None, text).opacity == opacity


@pytest.mark.parametrize("text", ["", "half", "-0.1", "1.1", "nan", "inf", "0,5", "9" * 5000])
def test_what_is_no_opacity_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="give a number from 0 to 1") as refused:
        chosen_style(None, text)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("style", [DEFAULT, Style(("road",), 0.0)])
def test_a_style_comes_back_from_its_object(style: Style) -> None:
    assert Style.from_dict(style.to_dict()) == style


def test_a_row_without_a_style_has_the_default() -> None:
    assert Style.from_dict(None) == DEFAULT
