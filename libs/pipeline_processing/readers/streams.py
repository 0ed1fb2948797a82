"""The bytes of the data in a file, unpacked on the way: gzip, Zstandard, zip or plain. Nothing is held but a block."""

from __future__ import annotations

import zipfile
import zlib
from typing import TYPE_CHECKING, Final, Protocol, Self

import zstandard

from etl_core.errors import ConfigError, InvalidData

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

BLOCK: Final = 4 * 1024 * 1024
"""Bytes asked of a stream at once."""
HEAD: Final = 256 * 1024
"""Bytes looked at to find out what a file is."""
BOMB_BYTES: Final = 256 * 1024 * 1024
BOMB_RATIO: Final = 500
"""Unpacked beyond `BOMB_BYTES` and more than `BOMB_RATIO` times the packed size: no table that anybody sends."""
_PACKED: Final = 64 * 1024
_ZSTD_PACKED: Final = 1024  # a Zstandard block of 4 bytes may unpack to 128 KiB, and nothing bounds one call's output
_ZSTD_WINDOW: Final = 128 * 1024 * 1024
_MEMBERS: Final = 10_000

_UNSUPPORTED: Final = ((b"BZh", "bzip2"), (b"\xfd7zXZ\x00", "xz"), (b"7z\xbc\xaf\x27\x1c", "7-Zip"), (b"Rar!", "RAR"))


class ByteStream(Protocol):
    """Bytes to read once, front to back."""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes, about; none at the end; InvalidData where they can not be unpacked."""
        ...

    def close(self) -> None:
        """Let the file go."""
        ...


class Source:
    """An opened file: ``head`` is what it begins with, `read` gives everything, the head included."""

    def __init__(self, stream: ByteStream, compression: str | None, member: str | None) -> None:
        self._stream = stream
        self.compression = compression
        self.member = member
        self.notes: list[str] = []
        pieces = []
        length = 0
        while length < HEAD and (piece := stream.read(HEAD - length)):
            pieces.append(piece)
            length += len(piece)
        self._ahead = b"".join(pieces)
        self.head = self._ahead[:HEAD]

    def read(self, size: int) -> bytes:
        """Return up to ``size`` bytes, about; none at the end."""
        if self._ahead:
            ahead, self._ahead = self._ahead, b""
            return ahead
        return self._stream.read(size)

    def close(self) -> None:
        """Let the file go."""
        self._stream.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_source(path: Path, name: str, member: str | None = None) -> Source:
    """Open the data in ``path``, called ``name`` in messages; of several files in a zip, the one called ``member``.

    An office document is a zip too, and is given as it is. Raises InvalidData for what can not be unpacked.
    """
    with path.open("rb") as file:
        magic = file.read(8)
    for prefix, packer in _UNSUPPORTED:
        if magic.startswith(prefix):
            raise InvalidData(f"{name}: {packer} is not read; pack it as gzip, Zstandard or zip")
    if magic.startswith(b"\x1f\x8b"):
        return Source(_Packed(path, name, _gunzip), "gz", None)
    if magic.startswith(b"\x28\xb5\x2f\xfd"):
        return Source(_Packed(path, name, _unzstd), "zst", None)
    if magic.startswith((b"PK\x03\x04", b"PK\x05\x06")) and not is_office(path, name):
        return _open_zip(path, name, member)
    return Source(path.open("rb"), None, None)


def zip_names(path: Path, name: str) -> list[str]:
    """Return the names in the zip's directory; InvalidData where it has none that is readable."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, RuntimeError) as error:
        raise InvalidData(f"{name}: a zip whose directory can not be read; was it cut off?") from error


def is_office(path: Path, name: str) -> bool:
    """Say whether the zip is an office document rather than an archive of files."""
    names = zip_names(path, name)
    return "[Content_Types].xml" in names or any(entry.startswith("xl/") for entry in names)


def _open_zip(path: Path, name: str, wanted: str | None) -> Source:
    archive = zipfile.ZipFile(path)
    try:
        member = _choose(name, archive, wanted)
        return Source(_Member(name, archive, member), "zip", member.filename)
    except BaseException:
        archive.close()
        raise


def _choose(name: str, archive: zipfile.ZipFile, wanted: str | None) -> zipfile.ZipInfo:
    """Return the one data file: what is no folder, no hidden file and none of macOS's twins."""
    members = archive.infolist()
    if len(members) > _MEMBERS:
        raise InvalidData(f"{name}: a zip of {len(members)} files; at most {_MEMBERS}")
    if wanted is not None:
        for member in members:
            if member.filename == wanted:
                return member
        raise ConfigError(f"no file {wanted} in the zip {name}", way_out="name one that is in it")
    data = [m for m in members if not m.is_dir() and not _is_hidden(m.filename)]
    if not data:
        raise InvalidData(f"{name}: a zip with no file in it")
    if len(data) > 1:
        shown = ", ".join(sorted(m.filename for m in data)[:10])
        raise InvalidData(f"{name}: a zip of {len(data)} files, and one is expected: {shown}")
    return data[0]


def _is_hidden(name: str) -> bool:
    parts = name.split("/")
    return parts[0] == "__MACOSX" or parts[-1].startswith(".")


class _Packed:
    """A compressed file, unpacked piece by piece by a generator."""

    def __init__(self, path: Path, name: str, unpack: _Unpack) -> None:
        self._file = path.open("rb")
        self._pieces = _guarded(name, path.stat().st_size, unpack(name, self._file))
        self._ready = bytearray()

    def read(self, size: int) -> bytes:
        while len(self._ready) < size and (piece := next(self._pieces, b"")):
            self._ready += piece
        taken = bytes(self._ready[:size])
        del self._ready[:size]
        return taken

    def close(self) -> None:
        self._file.close()


class _Unpack(Protocol):
    def __call__(self, name: str, file: BinaryIO, /) -> Iterator[bytes]: ...


def _guarded(name: str, packed: int, pieces: Iterator[bytes]) -> Iterator[bytes]:
    unpacked = 0
    for piece in pieces:
        unpacked += len(piece)
        if unpacked > BOMB_BYTES and unpacked / max(packed, 1) > BOMB_RATIO:
            raise InvalidData(f"{name}: {unpacked} bytes and more in {packed}: unpacks like a bomb")
        yield piece


def _gunzip(name: str, file: BinaryIO) -> Iterator[bytes]:
    """Yield what the members hold, one after the other; zeros may pad the end (tapes do)."""
    packed = file.read(_PACKED)
    while packed:
        unzip = zlib.decompressobj(wbits=31)
        while not unzip.eof:
            if not packed and not (packed := file.read(_PACKED)):
                raise InvalidData(f"{name}: gzip data that end too early")
            try:
                piece = unzip.decompress(packed, BLOCK)
            except zlib.error as error:
                raise InvalidData(f"{name}: gzip data that are damaged") from error
            packed = unzip.unconsumed_tail
            if piece:
                yield piece
        packed = unzip.unused_data
        while not packed.strip(b"\0") and (more := file.read(_PACKED)):
            packed = more
        packed = packed.lstrip(b"\0")
        if len(packed) == 1:
            packed += file.read(_PACKED)
        if packed and not packed.startswith(b"\x1f\x8b"):
            raise InvalidData(f"{name}: something follows the gzip data that is no gzip")


def _unzstd(name: str, file: BinaryIO) -> Iterator[bytes]:
    decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    packed = file.read(_ZSTD_PACKED)
    while packed:
        frame = decompressor.decompressobj()
        while not frame.eof:
            if not packed and not (packed := file.read(_ZSTD_PACKED)):
                raise InvalidData(f"{name}: Zstandard data that end too early")
            try:
                piece = frame.decompress(packed)
            except zstandard.ZstdError as error:
                raise InvalidData(f"{name}: Zstandard data that are damaged") from error
            packed = b""
            if piece:
                yield piece
        packed = frame.unused_data or file.read(_ZSTD_PACKED)


class _Member:
    """One file of a zip."""

    def __init__(self, name: str, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
        self._name = name
        self._archive = archive
        if member.flag_bits & 1:
            raise InvalidData(f"{name}: the zip is encrypted")
        packed = max(member.compress_size, 1)
        if member.file_size > BOMB_BYTES and member.file_size / packed > BOMB_RATIO:
            raise InvalidData(f"{name}: {member.file_size} bytes in {packed}: unpacks like a bomb")
        try:
            self._file = archive.open(member)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, ValueError) as error:
            raise InvalidData(f"{name}: a zip that can not be unpacked") from error

    def read(self, size: int) -> bytes:
        try:
            return self._file.read(size)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError) as error:
            raise InvalidData(f"{self._name}: zip data that are damaged or end too early") from error

    def close(self) -> None:
        self._file.close()
        self._archive.close()
