"""Which column of a file feeds which column of the contract."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pipeline_processing.contracts.model import Column

_NUMBER: Final = re.compile(r" \d+$")
_BETWEEN: Final = re.compile(r"[\W_]+")


def folded(name: str) -> str:
    """Return what of a header's name counts: letters and digits, whatever the case and whatever stands between."""
    return _BETWEEN.sub(" ", name.casefold()).strip() or name.strip()


def sources_of(column: Column) -> tuple[str, ...]:
    """Return the names that a column is read from; empty for one that is derived or looked up."""
    if column.derive is not None or column.lookup is not None:
        return ()
    return column.sources or (column.name,)


def feeding(columns: Iterable[Column], header: Sequence[str]) -> dict[str, str]:
    """Return each name in ``header`` that could feed one of ``columns``, read or not, with that column.

    A name that a reader made unique by a number (``ssn_2``) is one of them, too.
    """
    by_fold = {folded(source): column.name for column in columns for source in sources_of(column)}
    found = {name: by_fold.get(folded(name)) or by_fold.get(_NUMBER.sub("", folded(name))) for name in header}
    return {name: column for name, column in found.items() if column is not None}


def match(columns: Iterable[Column], header: Sequence[str]) -> dict[str, str]:
    """Return, for each column that has a source in ``header``, its name there.

    A column's own order of sources decides, then an exact name before a folded one, then the leftmost.
    """
    exact = set(header)
    by_fold: dict[str, str] = {}
    for name in header:
        by_fold.setdefault(folded(name), name)
    chosen: dict[str, str] = {}
    for column in columns:
        for source in sources_of(column):
            found = source if source in exact else by_fold.get(folded(source))
            if found is not None:
                chosen[column.name] = found
                break
    return chosen
