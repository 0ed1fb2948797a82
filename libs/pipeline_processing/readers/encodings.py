"""In which encoding a text file is, and how it becomes UTF-8.

The order: byte order mark, UTF-16 by its zeros, strict UTF-8, what the contract says, cp1252. ASCII alone decides
nothing: the first bytes beyond it do, wherever they stand. A record that does not fit what was decided is a reject.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Final

from etl_core.errors import ConfigError

if TYPE_CHECKING:
    from pipeline_processing.readers.streams import ByteStream

FALLBACK: Final = "cp1252"
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_BEYOND_ASCII: Final = re.compile(rb"[\x80-\xff]+")
_ASCII: Final = bytes(range(128))
_SHARE_OF_ZEROS: Final = 0.7
_ZEROS_LOOKED_AT: Final = 4096
_THROUGH: Final = "surrogatepass"
_LOW: Final = 0xDC00
_KEPT: Final = re.compile("([\udc00-\udcff]+)")


@dataclass(frozen=True, slots=True)
class Encoding:
    """``name`` is None while only ASCII was seen; ``mark`` are the bytes of a byte order mark."""

    name: str | None
    mark: bytes = b""

    @property
    def is_wide(self) -> bool:
        """Say whether line ends and delimiters are not single ASCII bytes in it: it must be turned into UTF-8 first."""
        return self.name is not None and self.name != "utf-8" and not _is_single_byte(self.name)


def check_encoding(name: str | None) -> None:
    """Raise ConfigError where Python knows no text encoding of that name."""
    if name is None:
        return
    try:
        _ASCII.decode(name, "replace")
    except LookupError as error:
        raise ConfigError(f"no such encoding: {name}", way_out="name one that Python knows: utf-8, cp1252") from error


def detect(head: bytes, wanted: str | None) -> Encoding:
    """Return the encoding of the file that begins with ``head``; ``wanted`` is the contract's."""
    for mark, name in _MARKS:
        if head.startswith(mark):
            return Encoding(name, mark)
    if zeros := _by_zeros(head):
        return Encoding(zeros)
    if wanted is not None and Encoding(codecs.lookup(wanted).name).is_wide and decide(head, None) != "utf-8":
        return Encoding(wanted)
    return Encoding(decide(head, wanted))


def decide(data: bytes, wanted: str | None) -> str | None:
    """Return ``utf-8`` or the single-byte encoding that ``data`` are in; None where they are ASCII.

    What stands at the very end may be half a character, and decides nothing.

    A file of two encodings is the one that more of it is in: the rest become rejects, not wrong letters.
    """
    if data.isascii():
        return None
    fitting = misfits = 0
    for run in _BEYOND_ASCII.finditer(data):
        if run.end() == len(data):
            continue  # a character that the block's end may have cut
        if _is_utf8(run.group()):
            fitting += 1
        else:
            misfits += 1
    if not misfits:
        return "utf-8" if fitting else None
    if wanted is not None:
        return wanted
    return "utf-8" if fitting > misfits else FALLBACK


class Transcoder:
    """A stream in a wide encoding, read as UTF-8. What the encoding does not allow stays invalid: see `restore`."""

    def __init__(self, stream: ByteStream, encoding: Encoding) -> None:
        self._stream = stream
        self._name = encoding.name or "utf-8"
        self._skip = len(encoding.mark)
        self._decoder = codecs.getincrementaldecoder(self._name)(KEPT_BYTES)

    def read(self, size: int) -> bytes:
        """Return about ``size`` bytes of UTF-8; lone surrogates and undecodable bytes are encoded surrogates."""
        while piece := self._stream.read(size):
            skip = min(self._skip, len(piece))
            self._skip -= skip
            if text := self._decoder.decode(piece[skip:]):
                return text.encode("utf-8", _THROUGH)
        return self._decoder.decode(b"", final=True).encode("utf-8", _THROUGH)

    def close(self) -> None:
        """Let the file go."""
        self._stream.close()


def restore(raw: bytes, name: str) -> bytes:
    """Return ``raw``, which a `Transcoder` made and which may be cut anywhere, as it stood in the file."""
    return to_bytes(codecs.getincrementaldecoder("utf-8")(_THROUGH).decode(raw), name)


def to_bytes(text: str, name: str) -> bytes:
    """Return the bytes of encoding ``name`` that ``text`` was decoded from with `KEPT_BYTES`."""
    parts = _KEPT.split(text)
    made = [part.encode(name, _THROUGH) for part in parts[0::2]]
    kept = [bytes(ord(letter) - _LOW for letter in part) for part in parts[1::2]]
    return b"".join(piece for pair in zip_longest(made, kept, fillvalue=b"") for piece in pair)


def _keep_bytes(error: UnicodeError) -> tuple[str, int]:
    """Carry each byte that is no character as one low surrogate: Python's own handler does so for UTF-8 alone."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(chr(_LOW + byte) for byte in error.object[error.start : error.end]), error.end


KEPT_BYTES: Final = "pipeline_processing.kept_bytes"
"""Name of an error handler of decoders: bytes of no character become low surrogates, which no valid text has."""
codecs.register_error(KEPT_BYTES, _keep_bytes)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _is_single_byte(name: str) -> bool:
    try:
        return _ASCII.decode(name) == _ASCII.decode("ascii") and len(
            bytes(range(128, 256)).decode(name, "replace")
        ) == len(_ASCII)
    except UnicodeDecodeError:
        return False


def _by_zeros(head: bytes) -> str | None:
    """Return UTF-16's byte order where most second bytes are zero, as they are in western text."""
    sample = head[:_ZEROS_LOOKED_AT]
    half = len(sample) // 2
    if not half or b"\0" not in sample:
        return None
    first, second = sample[0::2].count(0) / half, sample[1::2].count(0) / half
    if second >= _SHARE_OF_ZEROS and first < 1 - _SHARE_OF_ZEROS:
        return "utf-16-le"
    if first >= _SHARE_OF_ZEROS and second < 1 - _SHARE_OF_ZEROS:
        return "utf-16-be"
    return None
