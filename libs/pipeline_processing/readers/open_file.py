"""Open any file that an agency may send: find out what it is, and give its rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etl_core.errors import InvalidData
from pipeline_processing.contracts.model import Format
from pipeline_processing.readers.delimited import open_delimited
from pipeline_processing.readers.encodings import check_encoding
from pipeline_processing.readers.fixed_width import open_fixed
from pipeline_processing.readers.json_rows import JsonRows
from pipeline_processing.readers.kinds import BINARY, Kind, find_kind, remarks
from pipeline_processing.readers.origins import unpack
from pipeline_processing.readers.parquet_probe import probe
from pipeline_processing.readers.parquet_rows import ParquetRows, check_ends
from pipeline_processing.readers.sheets import SheetRows
from pipeline_processing.readers.streams import Source, open_source

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from pipeline_processing.readers import Rows

_ENTRY = 512
"""Bytes in which the first entry's name of a zip stands."""


def open_file(
    path: Path,
    format: Format = Format(),  # noqa: A002, B008 - the word for it; frozen
    *,
    columns: Sequence[str] = (),
    expected: Collection[str] = (),
    name: str | None = None,
) -> Rows:
    """Open ``path``, which is called ``name`` where it came from.

    ``columns`` stand for the header where there is none; ``expected`` are names that a header would have, and only help
    to find it. Raises InvalidData for what is no table that we read, ConfigError where ``format`` can not be.
    """
    check_encoding(format.encoding)
    title = name or path.name
    source = open_source(path, title)
    try:
        if not source.head:
            raise InvalidData("the file is empty")  # noqa: TRY301 - the source is closed for it below
        kind = _kind(source, format, title)
        source.notes.extend(remarks(source.head, format, title, kind))
        if kind in BINARY:
            return _open_binary(source, path, format, kind, title, columns=columns, expected=expected)
        if kind in {"json", "ndjson"}:
            return _open_json(source, path, format, kind, title)
        if kind == "fixed":
            return open_fixed(source, format)
        return open_delimited(source, format, columns=columns, expected=expected)
    except InvalidData as error:
        source.close()
        if str(error).startswith(title):
            raise
        raise InvalidData(f"{title}: {error}") from error
    except BaseException:
        source.close()
        raise


def _kind(source: Source, form: Format, title: str) -> Kind:
    """Return what the file is. An office document in another packing is known by its first entry's name."""
    is_bare_zip = source.compression is None and source.head.startswith(b"PK\x03\x04")
    is_packed_office = source.compression is not None and b"[Content_Types].xml" in source.head[:_ENTRY]
    return find_kind(source.head, form, title, is_office=is_bare_zip or is_packed_office)


def _open_json(source: Source, path: Path, form: Format, kind: Kind, title: str) -> Rows:
    notes = source.notes
    source.close()
    return JsonRows(lambda: open_source(path, title), form, name=title, has_lines=kind == "ndjson", notes=notes)


def _open_binary(
    source: Source,
    path: Path,
    form: Format,
    kind: Kind,
    title: str,
    *,
    columns: Sequence[str],
    expected: Collection[str],
) -> Rows:
    origin = unpack(source, path, title)
    source.close()
    try:
        if kind == "parquet":
            check_ends(origin)
            probe(origin.path, title)
            return ParquetRows(origin, form)
        return SheetRows(origin, form, kind, columns=columns, expected=expected)
    except BaseException:
        origin.close()
        raise
