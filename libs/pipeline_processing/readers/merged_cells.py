"""Headers of two rows: names, and above them the merged cells that group them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_RANGE: Final = re.compile(r"([A-Z]{1,3})(\d+):([A-Z]{1,3})(\d+)")


@dataclass(frozen=True, slots=True)
class Span:
    """A merged range, from 0, both ends included."""

    top: int
    left: int
    bottom: int
    right: int


def spans_of(references: Iterable[str]) -> tuple[Span, ...]:
    """Return the ranges that are written like ``A1:C1``; others are left out."""
    return tuple(
        Span(int(match[2]) - 1, _column(match[1]), int(match[4]) - 1, _column(match[3]))
        for reference in references
        if (match := _RANGE.fullmatch(reference))
    )


def join_groups(rows: Sequence[Sequence[str]], at: int, spans: Sequence[Span]) -> tuple[list[str], int, bool]:
    """Return the names in header row ``at``, the last row of the header, and whether two rows were joined.

    ``Officer`` merged above ``Last`` and ``First`` makes ``Officer Last`` and ``Officer First``. One cell merged over
    the whole width is a title, and no group.
    """
    for row in (at, at - 1):
        groups = [span for span in spans if span.top == span.bottom == row and span.right > span.left]
        if not groups or row + 1 >= len(rows):
            continue
        shift = _shift(rows[row], groups)
        if shift is None or sum(1 for cell in rows[row] if cell.strip()) < 2:  # noqa: PLR2004 - one is a title
            continue
        over = list(rows[row])
        for span in groups:
            over[span.left - shift : span.right - shift + 1] = [over[span.left - shift]] * (span.right - span.left + 1)
        grouped = {column - shift for span in groups for column in range(span.left, span.right + 1)}
        names = [
            f"{group} {name}".strip() if column in grouped else name or group
            for column, (group, name) in enumerate(zip(over, rows[row + 1], strict=False))
        ]
        return names, row + 1, True
    return list(rows[at]), at, False


def _shift(row: Sequence[str], groups: Sequence[Span]) -> int | None:
    """Return how many empty columns the reader left out on the left: every group's first cell has a text."""
    for shift in range(min(span.left for span in groups) + 1):
        if all(span.right - shift < len(row) and row[span.left - shift].strip() for span in groups):
            return shift
    return None


def _column(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - ord("A") + 1
    return number - 1
