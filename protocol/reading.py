"""Read JSON into structs, with a helpful sentence if it does not fit.

msgspec reads and checks. Only if it refuses, Python's own parser reads the JSON again to find out
what is wrong. This is the only module that depends on the wording of msgspec's errors.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn, Self, TypeGuard, TypeVar

import msgspec

from protocol.errors import CloseCode, ProtocolError, bad_field

REFUSALS = (msgspec.MsgspecError, UnicodeError, RecursionError)
"""Everything that msgspec raises for JSON that it refuses."""

compact_json = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
"""Encodes a JSON value without spaces, in ASCII."""


class Fields(msgspec.Struct, frozen=True):
    """A JSON object with known fields: a message, a header, or a part of one."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values, without ``type``."""
        given: dict[str, Any] = msgspec.to_builtins(self)
        given.pop("type", None)
        return given

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Self:
        """Return the struct with these fields. Raises ProtocolError if a field is wrong."""
        return read(cls, given, named(cls))


Kind = TypeVar("Kind", bound=Fields)


def named(kind: type[Fields]) -> str:
    """Return the name of a message for error messages: its type, or "frame" or "mask" for
    headers."""
    tag = kind.__struct_config__.tag
    return tag if isinstance(tag, str) else kind.__name__.removesuffix("Header").lower()


def decode(decoder: msgspec.json.Decoder[Kind], data: bytes, kind: type[Kind]) -> Kind:
    """Return the struct in a JSON text. Raises ProtocolError with a sentence for clients."""
    try:
        return decoder.decode(data)
    except REFUSALS:
        return read(kind, parse_object(data, "header"), named(kind))


def read(kind: type[Kind], given: Mapping[str, Any], what: str) -> Kind:
    """Return a JSON object as a struct; a field that is null counts as absent.

    Raises ProtocolError that names ``what``, the field, what was expected and what was received.
    """
    values = _without_nulls(kind, given)
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        if isinstance(error.__cause__, ProtocolError):
            raise error.__cause__ from None
        raise bad_field(_sentence(kind, values, what, str(error))) from error
    except UnicodeEncodeError as error:
        raise bad_field(f"{what}: a text contains half of a surrogate pair.") from error


def parse_object(data: bytes | str, what: str) -> dict[str, Any]:
    """Parse a JSON object strictly: UTF-8, no NaN or Infinity, nothing but an object.

    Raises ProtocolError with a sentence for clients; the messages of Python's parser are written
    for Python programmers.
    """
    try:
        text = _text(data, what)
        value = json.loads(text, parse_constant=_refuse_constant)
        _check_surrogates(text, value)
    except ProtocolError:
        raise
    except RecursionError as error:
        raise ProtocolError(f"The {what} is nested too deeply.") from error
    except UnicodeEncodeError as error:
        raise ProtocolError(f"The {what} contains half of a surrogate pair.") from error
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise ProtocolError(f"The {what} is not JSON: it cannot be read at {place}.") from error
    except ValueError as error:
        words = "is not JSON that can be read: a number has too many digits"
        raise ProtocolError(f"The {what} {words}.") from error
    if not isinstance(value, dict):
        raise ProtocolError(f"The {what} must be a JSON object, not {json_kind(value)}.")
    return value


def json_kind(value: object) -> str:
    """Return the JSON name of a value's type, for error messages."""
    names = {bool: "true or false", int: "a number", float: "a number", str: "a text"}
    names |= {list: "an array", tuple: "an array", dict: "an object", type(None): "null"}
    return names.get(type(value), type(value).__name__)


def _text(data: bytes | str, what: str) -> str:
    if isinstance(data, str):
        return data
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ProtocolError(f"The {what} is not UTF-8.", close=CloseCode.BAD_TEXT) from error


def _check_surrogates(text: str, value: object) -> None:
    """Raise UnicodeEncodeError if a text holds half of a surrogate pair."""
    if "\\u" in text or not text.isascii():
        json.dumps(value, ensure_ascii=False).encode()


def _refuse_constant(word: str) -> NoReturn:
    raise ProtocolError(f"{word} is not a JSON number.")


def _known(kind: type[Fields]) -> dict[str, Any]:
    """Return the type of each field."""
    return {field.name: field.type for field in msgspec.structs.fields(kind)}


def _without_nulls(kind: type[Fields], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that are not null; unknown ones stay, to be refused or ignored later."""
    known = _known(kind)
    values = {name: one for name, one in given.items() if one is not None or name not in known}
    for name, inner in known.items():
        if _is_struct(inner) and isinstance(values.get(name), dict):
            values[name] = _without_nulls(inner, values[name])
    return values


def _is_struct(kind: Any) -> TypeGuard[type[Fields]]:
    return isinstance(kind, type) and issubclass(kind, Fields)


_JSON_NAMES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "a text",
    "array": "an array",
    "object": "an object",
}

_BOUNDS = {">=": "at least", "<=": "at most"}


def _sentence(kind: type[Fields], values: Any, what: str, error: str) -> str:
    """Return a sentence for clients about what msgspec found wrong."""
    if error.startswith("Object contains unknown field"):
        known = _known(kind)
        unknown = next(name for name in values if name not in known)
        return f"{what}: unknown field {unknown[:40]!r}; known are {_listed(sorted(known))}."
    words, _, path = error.partition(" - at `$")
    steps = [field or item for field, item in re.findall(r"\.(\w+)|\[([\d.]+)\]", path)]
    if missing := re.search(r"missing required field `(\w+)`", words):
        return f"{'.'.join([what, *steps])}: {missing[1]!r} is missing."
    place, name = ".".join([what, *steps[:-1]]), steps[-1]
    fault = _fault(words, _known(kind).get(name), _value(values, steps))
    return f"{place}: {'a value' if name == '...' else repr(name)} {fault}."


def _fault(words: str, kind: Any, value: Any) -> str:
    """Return what is wrong with a field's value, as the sentence's part from "must" or "is"."""
    if bound := re.fullmatch(r"Expected `\w+` ([<>]=) (\S+)", words):
        return f"must be {_BOUNDS[bound[1]]} {float(bound[2]):.16g}{_shown(value)}"
    if length := re.match(r"Expected `(\w+)` of length (?:([<>]=) )?(\d+)", words):
        things = "characters" if length[1] == "str" else "items"
        return f"must have {_BOUNDS.get(length[2], 'exactly')} {length[3]} {things}"
    if wrong := re.match(r"Expected `(\w+)", words):
        came = None if "got `null`" in words else value
        shown = _shown(came) if _is_number(came) else f", not {json_kind(came)}"
        return f"must be {_JSON_NAMES[wrong[1]]}{shown}"
    if words.startswith("Invalid enum value"):
        return f"must be one of {_listed(kind)}{_shown(value)}"
    return "is a number out of range"


def _value(values: Any, steps: list[str]) -> Any:
    """Return the value at a path; "..." is the first value of an object that is not a number."""
    for step in steps:
        if step == "...":
            values = next((one for one in values.values() if not _is_number(one)), math.inf)
        else:
            values = values[int(step)] if step.isdigit() else values[step]
    return values


def _shown(value: Any) -> str:
    """Return a description of a value to append, such as ", not 7"; empty if the value is long."""
    if isinstance(value, str):
        return f", not {value[:40]!r}"
    return f", not {value}" if _is_number(value) and abs(value) < 1e18 else ""


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _listed(words: Iterable[str]) -> str:
    return ", ".join(words) or "none"
