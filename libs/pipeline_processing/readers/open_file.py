"""Open any file that an agency may send: find out what it is, and give its rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline_processing.contracts.model import Format
from pipeline_processing.readers.delimited import DelimitedRows
from pipeline_processing.readers.streams import open_source

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from pipeline_processing.readers import Rows


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
    source = open_source(path, name or path.name)
    try:
        return DelimitedRows(source, format, columns=columns, expected=expected)
    except BaseException:
        source.close()
        raise
