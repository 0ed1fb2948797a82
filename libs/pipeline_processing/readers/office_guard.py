"""Whether a workbook may be opened at all: what its zip says, and what its XML holds, before a parser sees it."""

from __future__ import annotations

import re
import zipfile
import zlib
from typing import TYPE_CHECKING, Final

from etl_core.errors import InvalidData

if TYPE_CHECKING:
    from pathlib import Path

XML_LIMIT: Final = 300 * 1000 * 1000
"""Bytes of XML in all."""
RATIO_LIMIT: Final = 100
"""Unpacked to packed, of any part over `SMALL`."""
SMALL: Final = 1024 * 1024
XLS_LIMIT: Final = 300 * 1000 * 1000
_PARTS_LIMIT: Final = 10_000
_PIECE: Final = 1024 * 1024
_DTD: Final = re.compile(rb"<!\s*(?:DOCTYPE|ENTITY)", re.IGNORECASE)
_ERROR_CELL: Final = re.compile(rb"<c [^>]*?\bt=\"e\"")
_OVERLAP: Final = 256


def check_xlsx(path: Path, name: str) -> int:
    """Return how many cells hold an error; InvalidData for a bomb, a DTD, encryption or a damaged part."""
    try:
        with zipfile.ZipFile(path) as archive:
            parts = [part for part in archive.infolist() if not part.is_dir()]
            _check_sizes(parts, name)
            return sum(
                _read(archive, part, name) for part in parts if part.filename.endswith((".xml", ".rels", ".vml"))
            )
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError) as error:
        raise InvalidData(f"{name}: a workbook whose zip is damaged") from error


def check_xls(path: Path, name: str) -> None:
    """Raise InvalidData where the OLE file is too large, encrypted, or no workbook."""
    if path.stat().st_size > XLS_LIMIT:
        raise InvalidData(f"{name}: a workbook of more than {XLS_LIMIT} bytes")
    data = path.read_bytes()
    if "EncryptedPackage".encode("utf-16-le") in data:
        raise InvalidData(f"{name}: a workbook with a password")
    if not any(stream.encode("utf-16-le") in data for stream in ("Workbook", "Book", "WORKBOOK")):
        raise InvalidData(f"{name}: an OLE document that is no workbook")


def _check_sizes(parts: list[zipfile.ZipInfo], name: str) -> None:
    names = {part.filename for part in parts}
    if len(parts) > _PARTS_LIMIT or len(names) < len(parts):
        raise InvalidData(f"{name}: a workbook of {len(parts)} parts, {len(names)} of them different")
    if not any(part.startswith("xl/") for part in names):
        raise InvalidData(f"{name}: an office document that is no workbook")
    if any(part.flag_bits & 1 for part in parts):
        raise InvalidData(f"{name}: a workbook with a password")
    if (total := sum(part.file_size for part in parts)) > XML_LIMIT:
        raise InvalidData(f"{name}: unpacks to {total} bytes, and at most {XML_LIMIT} are read: a bomb?")
    for part in parts:
        if part.file_size > SMALL and part.file_size > RATIO_LIMIT * max(part.compress_size, 1):
            raise InvalidData(f"{name}: a part that unpacks to more than {RATIO_LIMIT} times its size: a bomb?")


def _read(archive: zipfile.ZipFile, part: zipfile.ZipInfo, name: str) -> int:
    """Read a part to its end, as its declared size may lie; return its error cells."""
    errors = 0
    tail = b""
    with archive.open(part) as file:
        while piece := file.read(_PIECE):
            text = tail + piece
            if _DTD.search(text):
                raise InvalidData(f"{name}: a workbook whose XML declares entities")
            cut = max(text.rfind(b"<"), 0)
            errors += len(_ERROR_CELL.findall(text, 0, cut))
            tail = text[cut:][-_OVERLAP:] if len(text) - cut > _OVERLAP else text[cut:]
    return errors + len(_ERROR_CELL.findall(tail))
