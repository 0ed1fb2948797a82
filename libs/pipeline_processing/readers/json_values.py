"""One JSON value as cells of text: exact numbers, no value lost, nothing guessed."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator

DEPTH_LIMIT: Final = 200
"""Arrays and objects inside one another."""
_SIGN: Final = re.compile(r'"(?:[^"\\]|\\.)*"?|[\[\]{}]', re.DOTALL)
_RISKY: Final = re.compile(r"\\u(?:[dD][89a-fA-F]|0000)|[\ud800-\udfff\0]")


class BadRecordError(Exception):
    """The record is no row: ``reason`` and ``detail`` are the reject's."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reason, self.detail = reason, detail
        super().__init__(f"{reason}: {detail}")


_quoted: Final = json.encoder.encode_basestring
"""A text as JSON, with only quotes, backslashes and control characters escaped."""


class _Number(str):
    """A number, as it is written."""

    __slots__ = ()


Value = str | bool | list["Value"] | dict[str, "Value"] | None


def _object(pairs: list[tuple[str, Value]]) -> dict[str, Value]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise BadRecordError("duplicate key", f"{len(pairs)} keys, {len(made)} of them different")
    return made


DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_Number, parse_float=_Number, parse_constant=_Number
)
"""Numbers come as their own text; so do NaN and Infinity, which JSON does not know but files have."""


def read_object(text: str) -> dict[str, Value]:
    """Return the object that ``text`` is; BadRecordError where it is none or can not be kept as it is."""
    check_depth(text)
    try:
        value: Value = DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise BadRecordError("bad json", f"{error.msg} at character {error.pos + 1}") from error
    except RecursionError as error:
        raise BadRecordError("too deep", f"more than {DEPTH_LIMIT} levels") from error
    return check_object(text, value)


def check_object(text: str, value: Value) -> dict[str, Value]:
    """Return ``value``, which was read from ``text``, where it can be kept as it is."""
    if not isinstance(value, dict):
        raise BadRecordError("not an object", "a record must be an object")
    if ("\\u" in text or not text.isascii()) and _RISKY.search(text):
        for part in _texts(value):
            _check_text(part)
    return value


def _texts(value: Value) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        yield from value
        for item in value.values():
            yield from _texts(item)


def _check_text(text: str) -> None:
    if "\0" in text:
        raise BadRecordError("nul byte", "a text holds a zero character")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadRecordError("undecodable", "a text holds half a surrogate pair, or bytes of no character") from error


def check_depth(text: str) -> None:
    """Raise BadRecordError where ``text`` is nested deeper than `DEPTH_LIMIT`."""
    if text.count("{") + text.count("[") <= DEPTH_LIMIT:
        return
    depth = 0
    for match in _SIGN.finditer(text):
        sign = match.group()
        if sign in "[{":
            depth += 1
            if depth > DEPTH_LIMIT:
                raise BadRecordError("too deep", f"more than {DEPTH_LIMIT} levels")
        elif sign in "]}":
            depth -= 1


def keys(text: str) -> tuple[str, ...]:
    """Return the keys of the object in ``text``; none where it would be rejected."""
    try:
        value = orjson.loads(text)
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        try:
            return tuple(read_object(text))
        except BadRecordError:
            return ()
    return tuple(value) if isinstance(value, dict) else ()


def cell(value: Value) -> str | None:
    """Return a value as the text of a cell."""
    if value is None or value.__class__ is str:
        return value  # most are
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return _text(value)


def _text(value: Value) -> str:
    """Return the JSON of ``value``, numbers as they were written."""
    if isinstance(value, _Number):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{_quoted(key)}:{_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_text(item) for item in value) + "]"
    return _quoted(value) if isinstance(value, str) else json.dumps(value)
