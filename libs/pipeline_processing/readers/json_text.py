"""The values inside a JSON document, one after the other, however long the document is."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from etl_core.errors import InvalidData
from pipeline_processing.readers import RAW_LIMIT
from pipeline_processing.readers.framing import RECORD_LIMIT
from pipeline_processing.readers.json_values import DECODER, BadRecordError, Value, check_depth, check_object

if TYPE_CHECKING:
    from collections.abc import Iterator

_OUTSIDE: Final = re.compile(r'["\[\]{},]')
_INSIDE: Final = re.compile(r'["\\]')
_SPACE: Final = re.compile(r"[ \t\r\n]*")


@dataclass(frozen=True, slots=True)
class Record:
    """One value: ``value`` where it is a good record, else ``fault``. ``text`` is cut where it is too long."""

    line: int
    text: str
    value: dict[str, Value] | None = None
    fault: BadRecordError | None = None


class JsonText:
    """A document's text, a window of it at a time. ``pieces`` are its decoded blocks; ``name`` is for messages."""

    def __init__(self, pieces: Iterator[str], name: str) -> None:
        self._pieces = pieces
        self._name = name
        self._text = ""
        self._at = 0
        self._line = 1
        self._is_ended = False

    def records(self, path: tuple[str, ...] | None) -> Iterator[Record]:
        """Yield the records at ``path``: the elements of that array, or, with none, of the document.

        A document without an array is a record itself, and so is each of several that follow one another.
        Raises InvalidData where the text ends too early, or can not be followed any further.
        """
        depth = self._descend(path or ())
        if self._peek() == "[":
            yield from self._elements()
            self._leave(depth)
            if path is None and self._peek():
                raise self._lost("something follows the end of the array")
        elif path:
            raise InvalidData(f"{self._name}: {'.'.join(path)} is no array")
        else:
            while following := self._peek():
                if following in ",]}":
                    raise self._lost("a value is missing")
                yield self._record()

    def array_paths(self) -> Iterator[tuple[str, ...]]:
        """Yield the keys of the outermost object whose values are arrays of objects."""
        if self._peek() != "{":
            return
        self._at += 1
        while key := self._key():
            if self._peek() == "[":
                self._at += 1
                if self._peek() == "{":
                    yield (key,)
                self._skip(1)
            else:
                self._skip(0)
            if self._peek() == ",":
                self._at += 1

    def _descend(self, path: tuple[str, ...]) -> int:
        for step in path:
            if self._peek() != "{":
                raise InvalidData(f"{self._name}: no {'.'.join(path)} in the document")
            self._at += 1
            while (key := self._key()) != step:
                if key is None:
                    raise InvalidData(f"{self._name}: no {'.'.join(path)} in the document")
                self._peek()
                self._skip(0)
                if self._peek() == ",":
                    self._at += 1
        return len(path)

    def _leave(self, depth: int) -> None:
        """Read on to the document's end, only to know that it is there."""
        if depth:
            self._skip(depth)

    def _elements(self) -> Iterator[Record]:
        self._at += 1
        if self._peek() == "]":
            self._at += 1
            return
        while True:
            yield self._record()
            following = self._peek()
            self._at += 1
            if following == "]":
                return
            if following != ",":
                raise self._lost("a comma or the array's end is missing" if following else "the text ends too early")

    def _record(self) -> Record:
        """Return the value that begins here; where it is no good record, find its end by its brackets."""
        self._peek()
        line = self._line
        while True:
            try:
                value, end = DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                fault = BadRecordError("bad json", f"{error.msg} at character {error.pos - self._at + 1}")
                if len(self._text) - self._at < RECORD_LIMIT and self._more():
                    continue
            except RecursionError:
                fault = BadRecordError("too deep", "more levels than can be read")
            except BadRecordError as error:
                fault = error
            else:
                if end == len(self._text) and self._more():
                    continue  # a number may go on
                if end - self._at > RECORD_LIMIT:
                    fault = BadRecordError("too long", f"{end - self._at} characters")
                else:
                    return self._good(line, value, end)
            return Record(line, self._skip(0, room=RAW_LIMIT), fault=fault)

    def _good(self, line: int, value: Value, end: int) -> Record:
        text = self._text[self._at : end]
        self._to(end)
        try:
            check_depth(text)
            return Record(line, text, check_object(text, value))
        except BadRecordError as error:
            return Record(line, text, fault=error)

    def _skip(self, depth: int, *, room: int = 0) -> str:
        """Pass over one value, or out of ``depth`` open ones; return the first ``room`` characters of it, about."""
        kept = ""
        is_inside = is_escaped = is_begun = is_done = False
        while not is_done:
            if self._at >= len(self._text) and not self._more():
                if depth or is_inside or not is_begun:
                    raise self._lost("the text ends too early")
                return kept
            sign, end = "", self._at + 1
            if not is_escaped:
                match = (_INSIDE if is_inside else _OUTSIDE).search(self._text, self._at)
                sign, end = ("", len(self._text)) if match is None else (match.group(), match.end())
            is_escaped = sign == "\\"
            if sign == '"':
                is_inside = not is_inside
                is_done = not is_inside and not depth
            elif sign and sign in "[{":
                depth += 1
            elif sign and sign in ",]}":
                end -= not depth  # what ends a bare number or word is not a part of it
                is_done = depth == 0 or (depth == 1 and sign != ",")
                depth -= depth > 0 and sign != ","
            if len(kept) < room:
                kept += self._text[self._at : min(end, self._at + room)]
            self._to(end)
            is_begun = True
        return kept

    def _key(self) -> str | None:
        """Return the member's name that begins here, and pass its colon; None at the object's end."""
        following = self._peek()
        if following == "}":
            self._at += 1
            return None
        try:
            while '"' not in self._text[self._at + 1 :] and self._more():
                pass
            key, end = json.JSONDecoder().raw_decode(self._text, self._at)
        except json.JSONDecodeError as error:
            raise self._lost("a name is missing") from error
        self._to(end)
        if not isinstance(key, str) or self._peek() != ":":
            raise self._lost("a name is missing")
        self._at += 1
        return key

    def _peek(self) -> str:
        """Pass white space; return the character that follows, or "" at the end."""
        while True:
            match = _SPACE.match(self._text, self._at)
            if match is not None:
                self._to(match.end())
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def _to(self, end: int) -> None:
        self._line += self._text.count("\n", self._at, end)
        self._at = end

    def _more(self) -> bool:
        """Append the next piece; what is read already goes."""
        piece = next(self._pieces, "")
        if not piece:
            return False
        self._text, self._at = self._text[self._at :] + piece, 0
        return True

    def _lost(self, why: str) -> InvalidData:
        return InvalidData(f"{self._name}: JSON that can not be read from line {self._line} on: {why}")
