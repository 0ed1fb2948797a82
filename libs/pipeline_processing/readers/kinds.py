"""What a file is, by what it begins with. Its name is only a hint, and a wrong one is remarked on."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import TYPE_CHECKING, Final, Literal

from etl_core.errors import InvalidData
from pipeline_processing.readers.encodings import detect
from pipeline_processing.readers.json_rows import is_lines

if TYPE_CHECKING:
    from pipeline_processing.contracts.model import Format

Kind = Literal["csv", "ndjson", "json", "xlsx", "xls", "parquet", "fixed"]

BINARY: Final = frozenset({"xlsx", "xls", "parquet"})
_OLE: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_FOREIGN: Final = (
    (b"%PDF", "a PDF"),
    (b"{\\rtf", "an RTF document"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"GIF8", "a picture"),
    (b"SQLite format 3", "an SQLite database"),
    (b"ORC", "an ORC file"),
    (b"Obj\x01", "an Avro file"),
    (b"\x7fELF", "a program"),
    (b"MZ\x90", "a program"),
    (b"\x1f\x8b", "gzip inside another packing"),
    (b"\x28\xb5\x2f\xfd", "Zstandard inside another packing"),
)
_MARKUP: Final = re.compile(r"\s*<(?:!doctype\s+)?(html|table|head|body|\?xml|[a-z][\w.:-]*[\s/>])", re.IGNORECASE)
_JSON: Final = re.compile(r'\s*(?:\[\s*(?:[\[{"\]\d-]|true|false|null)|\{\s*["}])')
_CONTROL: Final = bytes([*range(1, 9), *range(14, 27), *range(28, 32)])
_CONTROL_SHARE: Final = 0.1
_ZERO_SHARE: Final = 0.3
_EXTENSIONS: Final[dict[str, frozenset[str]]] = {
    "csv": frozenset({"csv"}),
    "tsv": frozenset({"csv"}),
    "tab": frozenset({"csv"}),
    "psv": frozenset({"csv"}),
    "json": frozenset({"json", "ndjson"}),
    "ndjson": frozenset({"ndjson"}),
    "jsonl": frozenset({"ndjson"}),
    "xlsx": frozenset({"xlsx"}),
    "xlsm": frozenset({"xlsx"}),
    "xls": frozenset({"xls"}),
    "parquet": frozenset({"parquet"}),
}


def find_kind(head: bytes, form: Format, name: str, *, is_office: bool) -> Kind:
    """Return what the file that begins with ``head`` is; InvalidData where it is not read, or the contract denies it.

    ``is_office`` says that it is a zip which holds an office document.
    """
    found = _binary(head, name, is_office=is_office)
    if found is None and form.kind not in {None, *BINARY}:
        return form.kind or "csv"
    if found is None:
        found = _text(head, form, name)
    if form.kind is not None and form.kind != found:
        raise InvalidData(f"{name}: the contract says {form.kind}, and the file is {found}")
    return found


def _binary(head: bytes, name: str, *, is_office: bool) -> Kind | None:
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith(b"PK\x03\x04"):
        if is_office:
            return "xlsx"
        raise InvalidData(f"{name}: a zip inside another packing")
    if head.startswith(_OLE):
        return "xls"
    for prefix, what in _FOREIGN:
        if head.startswith(prefix):
            raise InvalidData(f"{name}: {what}, and no table")
    return None


def _text(head: bytes, form: Format, name: str) -> Kind:
    encoding = detect(head, form.encoding)
    beginning = head[len(encoding.mark) :]
    text = beginning.decode(encoding.name or "utf-8", "replace")
    if match := _MARKUP.match(text):
        what = "XML" if match.group(1).startswith("?") else "an HTML or XML page"
        raise InvalidData(f"{name}: {what}, and no table")
    if form.widths:
        return "fixed"
    if _JSON.match(text):
        return "ndjson" if form.records is None and is_lines(text.encode("utf-8", "replace")) else "json"
    if not encoding.is_wide and _is_binary(beginning):
        raise InvalidData(f"{name}: binary data of no kind that is read")
    return "csv"


def _is_binary(data: bytes) -> bool:
    controls = len(data) - len(data.translate(None, _CONTROL))
    return controls > len(data) * _CONTROL_SHARE or data.count(0) > len(data) * _ZERO_SHARE


def remarks(head: bytes, form: Format, name: str, kind: Kind) -> tuple[str, ...]:
    """Return a remark where the file is read as ``kind``, and its bytes or its name look like something else."""
    seen = kind if form.kind is None or kind in BINARY or form.widths else _looks(head, form, name)
    if seen == kind:
        return _by_name(name, kind)
    # One JSON document on one line is NDJSON too.
    if seen is None or (seen, kind) == ("ndjson", "json"):
        return ()
    return (f"read as {kind}, as the contract says; it looks like {seen}",)


def _looks(head: bytes, form: Format, name: str) -> Kind | None:
    try:
        return _text(head, form, name)
    except InvalidData:
        return None


def _by_name(name: str, kind: Kind) -> tuple[str, ...]:
    suffixes = [suffix[1:].lower() for suffix in PurePath(name).suffixes]
    while suffixes and suffixes[-1] in {"gz", "gzip", "zst", "zstd", "zip"}:
        suffixes.pop()
    if not suffixes or kind in _EXTENSIONS.get(suffixes[-1], {kind}):
        return ()
    return (f"called .{suffixes[-1]}, and is {kind}",)
