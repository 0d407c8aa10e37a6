"""Reading the fields of a JSON object strictly, with errors that name the field."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeVar

from protocol.errors import ProtocolError, bad_field
from protocol.framing import json_kind

MAX_INTEGER = 2**53 - 1
"""The largest integer that every language's JSON keeps exactly."""

MAX_TEXT = 4096

Value = TypeVar("Value")
Word = TypeVar("Word", bound=StrEnum)


class Fields:
    """One JSON object being read. Each reader raises ProtocolError where its field is wrong.

    An absent field, or null, reads as None (a flag as False); :meth:`need` makes that an error.
    """

    def __init__(self, given: Mapping[str, Any], what: str) -> None:
        self._given = given
        self._what = what
        self._read: set[str] = set()

    def integer(self, name: str, low: int = 0, high: int = MAX_INTEGER) -> int | None:
        value = self._get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._wrong(name, "a whole number", value)
        if not low <= value <= high:
            raise bad_field(f"{self._what}: {name!r} must lie in {low}..{high}")
        return value

    def number(self, name: str, low: float = -1e15, high: float = 1e15) -> float | None:
        value = self._get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self._wrong(name, "a number", value)
        if not low <= value <= high:
            raise bad_field(f"{self._what}: {name!r} must lie in {low:g}..{high:g}")
        return float(value)

    def flag(self, name: str) -> bool:
        value = self._get(name)
        if value is None:
            return False
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false", value)
        return value

    def text(self, name: str) -> str | None:
        value = self._get(name)
        if value is None:
            return None
        if not isinstance(value, str):
            raise self._wrong(name, "a text", value)
        if len(value) > MAX_TEXT:
            raise bad_field(f"{self._what}: {name!r} is longer than {MAX_TEXT} characters")
        return value

    def word(self, name: str, words: type[Word]) -> Word | None:
        value = self.text(name)
        if value is None:
            return None
        try:
            return words(value)
        except ValueError:
            known = ", ".join(words)
            raise bad_field(
                f"{self._what}: {name!r} must be one of {known}, not {value[:40]!r}"
            ) from None

    def mapping(self, name: str) -> dict[str, Any] | None:
        value = self._get(name)
        if value is None or isinstance(value, dict):
            return value
        raise self._wrong(name, "an object", value)

    def nested(self, name: str) -> Fields:
        """The fields of an object inside this one; empty where it is absent."""
        return Fields(self.mapping(name) or {}, f"{self._what}.{name}")

    def numbers(self, name: str) -> dict[str, float]:
        """An object whose values are all numbers."""
        inner = self.nested(name)
        return {key: inner.need(key, inner.number(key)) for key in inner._given}

    def integers(self, name: str) -> tuple[int, ...]:
        """An array of whole numbers."""
        values = self._get(name)
        if not isinstance(values, list):
            raise self._wrong(name, "an array of whole numbers", values)
        inner = Fields({str(i): value for i, value in enumerate(values)}, f"{self._what}.{name}")
        return tuple(inner.need(key, inner.integer(key)) for key in inner._given)

    def need(self, name: str, value: Value | None) -> Value:
        """The value just read, or ProtocolError where it was absent."""
        if value is None:
            raise bad_field(f"{self._what}: {name!r} is missing")
        return value

    def refuse_unknown(self) -> None:
        """Raise for the first field that nobody read."""
        for name in self._given:
            if name not in self._read:
                known = ", ".join(sorted(self._read)) or "none"
                raise bad_field(f"{self._what}: unknown field {name[:40]!r}; known are {known}")

    def _get(self, name: str) -> Any:
        self._read.add(name)
        return self._given.get(name)

    def _wrong(self, name: str, wanted: str, value: object) -> ProtocolError:
        return bad_field(f"{self._what}: {name!r} must be {wanted}, not {json_kind(value)}")
