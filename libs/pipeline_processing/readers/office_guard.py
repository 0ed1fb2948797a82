"""Whether a workbook may be opened at all: what its zip says, and what its XML holds, before a parser sees it."""

from __future__ import annotations

import html
import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence  # noqa: TC003 - dataclasses keep their annotations
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from etl_core.errors import InvalidData

if TYPE_CHECKING:
    from collections.abc import Collection
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
_MERGED: Final = re.compile(rb"<mergeCell\s[^>]*?\bref=\"([A-Z0-9:]+)\"")
_MERGED_LIMIT: Final = 10_000
_XML: Final = (".xml", ".rels", ".vml")
_BOOK: Final = "xl/workbook.xml"
_RELATIONS: Final = "xl/_rels/workbook.xml.rels"
_RELATION: Final = re.compile(r"<Relationship\s([^>]*)>")
_SHEET: Final = re.compile(r"<(?:\w+:)?sheet\s([^>]*)>")
_ATTRIBUTE: Final = re.compile(r"([\w:]+)=\"([^\"]*)\"")


@dataclass(frozen=True, slots=True)
class Workbook:
    """What a workbook's XML says, by its sheets' names: how many cells hold an error, which ranges are merged."""

    errors: Mapping[str, int] = field(default_factory=dict)
    merged: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(slots=True)
class _Part:
    errors: int = 0
    merged: list[str] = field(default_factory=list)


def check_xlsx(path: Path, name: str) -> Workbook:
    """Return what can be known before it is parsed; InvalidData for a bomb, a DTD, encryption or a damaged part."""
    try:
        with zipfile.ZipFile(path) as archive:
            parts = [part for part in archive.infolist() if not part.is_dir()]
            _check_sizes(parts, name)
            found = {part.filename: _read(archive, part, name) for part in parts if part.filename.endswith(_XML)}
            sheets = _sheets(archive, {part.filename for part in parts})
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError) as error:
        raise InvalidData(f"{name}: a workbook whose zip is damaged") from error
    known = {sheet: found[part] for sheet, part in sheets.items() if part in found}
    return Workbook(
        {sheet: part.errors for sheet, part in known.items()},
        {sheet: part.merged for sheet, part in known.items()},
    )


def _sheets(archive: zipfile.ZipFile, parts: Collection[str]) -> dict[str, str]:
    """Return each sheet's part, by the sheet's name; none where the workbook does not say."""
    if not {_BOOK, _RELATIONS} <= set(parts):
        return {}
    targets = {}
    for tag in _RELATION.findall(archive.read(_RELATIONS).decode("utf-8", "replace")):
        attributes = dict(_ATTRIBUTE.findall(tag))
        target = attributes.get("Target", "")
        targets[attributes.get("Id", "")] = target[1:] if target.startswith("/") else f"xl/{target}"
    found = {}
    for tag in _SHEET.findall(archive.read(_BOOK).decode("utf-8", "replace")):
        attributes = dict(_ATTRIBUTE.findall(tag))
        found[html.unescape(attributes.get("name", ""))] = targets.get(attributes.get("r:id", ""), "")
    return found


def check_xls(path: Path, name: str) -> Workbook:
    """Return an empty description; InvalidData where the OLE file is too large, encrypted, or no workbook."""
    if path.stat().st_size > XLS_LIMIT:
        raise InvalidData(f"{name}: a workbook of more than {XLS_LIMIT} bytes")
    data = path.read_bytes()
    if "EncryptedPackage".encode("utf-16-le") in data:
        raise InvalidData(f"{name}: a workbook with a password")
    if not any(stream.encode("utf-16-le") in data for stream in ("Workbook", "Book", "WORKBOOK")):
        raise InvalidData(f"{name}: an OLE document that is no workbook")
    return Workbook()


def _check_sizes(parts: list[zipfile.ZipInfo], name: str) -> None:
    names = {part.filename for part in parts}
    if len(parts) > _PARTS_LIMIT or len(names) < len(parts):
        raise InvalidData(f"{name}: a workbook of {len(parts)} parts, {len(names)} of them different")
    if "xl/workbook.bin" in names:
        raise InvalidData(f"{name}: a binary workbook (.xlsb), which is not read")
    if not any(part.startswith("xl/") for part in names):
        raise InvalidData(f"{name}: an office document that is no workbook")
    if any(part.flag_bits & 1 for part in parts):
        raise InvalidData(f"{name}: a workbook with a password")
    if (total := sum(part.file_size for part in parts)) > XML_LIMIT:
        raise InvalidData(f"{name}: unpacks to {total} bytes, and at most {XML_LIMIT} are read: a bomb?")
    for part in parts:
        if part.file_size > SMALL and part.file_size > RATIO_LIMIT * max(part.compress_size, 1):
            raise InvalidData(f"{name}: a part that unpacks to more than {RATIO_LIMIT} times its size: a bomb?")


def _read(archive: zipfile.ZipFile, part: zipfile.ZipInfo, name: str) -> _Part:
    """Read a part to its end, as its declared size may lie."""
    found = _Part()
    tail = b""
    with archive.open(part) as file:
        while piece := file.read(_PIECE):
            text = tail + piece
            if _DTD.search(text):
                raise InvalidData(f"{name}: a workbook whose XML declares entities")
            cut = max(text.rfind(b"<"), 0)
            found.errors += len(_ERROR_CELL.findall(text, 0, cut))
            if len(found.merged) < _MERGED_LIMIT:
                found.merged += [match.decode("ascii", "replace") for match in _MERGED.findall(text, 0, cut)]
            tail = text[cut : cut + _PIECE]
    return found
