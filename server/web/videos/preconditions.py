"""Conditional requests (RFC 9110, section 13): which response a client's conditions allow."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum, auto

from starlette.datastructures import Headers

_TAG = re.compile(r'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')


class Verdict(Enum):
    """Which response to send: the file, 304 or 412."""

    SEND = auto()
    NOT_MODIFIED = auto()
    FAILED = auto()


def judge(conditions: Headers, etag: str, modified: str) -> Verdict:
    """Evaluate the conditions of a GET or HEAD in the order of section 13.2.2.

    ``etag`` is strong; ``modified`` is the Last-Modified header. A date that cannot be parsed is
    ignored.
    """
    match, none_match = _listed(conditions, "if-match"), _listed(conditions, "if-none-match")
    if match is not None:
        if not _names(match, etag, weakly=False):
            return Verdict.FAILED
    elif _is_older(conditions.get("if-unmodified-since"), modified):
        return Verdict.FAILED
    if none_match is not None:
        unchanged = _names(none_match, etag, weakly=True)
    else:
        unchanged = _is_as_new(conditions.get("if-modified-since"), modified)
    return Verdict.NOT_MODIFIED if unchanged else Verdict.SEND


def _listed(conditions: Headers, name: str) -> str | None:
    """Return the lines of a header as one list, None if the header is absent."""
    lines = conditions.getlist(name)
    return ", ".join(lines).strip() if lines else None


def _names(tags: str, etag: str, *, weakly: bool) -> bool:
    """Return whether a list of entity tags, or ``*``, includes ``etag``; weak tags count only if
    compared ``weakly``."""
    if tags == "*":
        return True
    found = _TAG.finditer(tags)
    return any(tag[2] == etag and (weakly or not tag[1]) for tag in found)


def _is_older(since: str | None, modified: str) -> bool:
    limit, changed = _time(since), _time(modified)
    return limit is not None and changed is not None and changed > limit


def _is_as_new(since: str | None, modified: str) -> bool:
    limit, changed = _time(since), _time(modified)
    return limit is not None and changed is not None and changed <= limit


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
