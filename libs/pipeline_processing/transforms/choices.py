"""Booleans and enums: texts of which a contract names the few that count, and what stands for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl
from rapidfuzz import fuzz, process

from pipeline_processing.transforms.memo import LONGEST, spread
from pipeline_processing.transforms.reading import Reading, option_texts, spelled, unread

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pipeline_processing.contracts.model import Column
    from pipeline_processing.model import Json
    from pipeline_processing.transforms.reading import SeriesStep

_TRUE: Final = ("y", "yes", "t", "true", "1", "1.0", "on")
_FALSE: Final = ("n", "no", "f", "false", "0", "0.0", "off")
REMEMBERED: Final = 1_000
"""Distinct unmatched values counted apart a column; what comes after them is counted together."""
_NEAR: Final = 70.0
"""Likeness (0 to 100) from which an allowed value is suggested."""


def boolean(options: Mapping[str, Json]) -> SeriesStep:
    """Read truth values, compared without case; ``true`` and ``false`` replace the customary texts."""
    true = [text.strip().lower() for text in option_texts(options, "true") or _TRUE]
    false = [text.strip().lower() for text in option_texts(options, "false") or _FALSE]

    def step(texts: pl.Series) -> Reading:
        said = spelled(texts)
        distinct = said.unique()
        lowered = distinct.str.to_lowercase()
        value = pl.select(pl.when(lowered.is_in(true)).then(True).when(lowered.is_in(false)).then(False)).to_series()  # noqa: FBT003 - values
        read = spread(said, distinct, value)
        return Reading(read, unread(said, read))

    return step


@dataclass(frozen=True, slots=True)
class Suggestion:
    """An enum's value that matched nothing: for people to decide about; nothing was changed.

    ``value`` and ``nearest`` are None for a classified column, and for what was too varied to be counted apart.
    """

    column: str
    value: str | None
    count: int
    nearest: str | None = None
    likeness: float = 0.0


class Enum:
    """Maps the texts of one column to its allowed values, and counts those that match nothing."""

    def __init__(self, column: Column) -> None:
        self._name, self._hidden = column.name, column.is_classified
        self._is_counted = bool(column.enum) and column.logical_type == "string"
        self._known = {_fold(spelling): value for spelling, value in column.synonyms.items()}
        self._known |= {_fold(value): value for value in reversed(column.enum)}
        self._strangers: dict[str, int] = {}
        self._others = 0

    def __call__(self, texts: pl.Series) -> Reading:
        """Return the allowed values; a text that matches none stays as it is."""
        distinct = texts.unique(maintain_order=True)
        found = [None if text is None else self._match(text) for text in distinct]
        strange = [text for text, value in zip(distinct, found, strict=True) if text is not None and value is None]
        if strange and self._is_counted:
            self._count(texts, strange)
        kept = [text if value is None else value for text, value in zip(distinct, found, strict=True)]
        return Reading(spread(texts, distinct, pl.Series(kept, dtype=pl.String)))

    def suggestions(self) -> Iterator[Suggestion]:
        """Yield what matched nothing, the most frequent first."""
        for value, count in sorted(self._strangers.items(), key=lambda entry: (-entry[1], entry[0])):
            yield self._suggest(value, count)
        if self._others:
            yield Suggestion(self._name, None, self._others)

    def _match(self, text: str) -> str | None:
        found = self._known.get(text)
        return self._known.get(_fold(text)) if found is None else found

    def _count(self, texts: pl.Series, strange: Iterable[str]) -> None:
        counts = dict(texts.filter(texts.is_in(list(strange))).value_counts().iter_rows())
        for value in strange:
            if not self._hidden and (value in self._strangers or self._has_room(value)):
                self._strangers[value] = self._strangers.get(value, 0) + counts[value]
            else:
                self._others += counts[value]

    def _has_room(self, value: str) -> bool:
        return len(value) <= LONGEST and len(self._strangers) < REMEMBERED

    def _suggest(self, value: str, count: int) -> Suggestion:
        folded = _fold(value)
        best = process.extractOne(folded, list(self._known), scorer=fuzz.ratio, score_cutoff=_NEAR)
        if best is None:
            return Suggestion(self._name, value, count)
        return Suggestion(self._name, value, count, self._known[best[0]], round(best[1], 1))


def suggestions_of(enums: Iterable[Enum]) -> tuple[Suggestion, ...]:
    """Return the suggestions of all columns, in the columns' order."""
    return tuple(suggestion for enum in enums for suggestion in enum.suggestions())


def _fold(text: str) -> str:
    return " ".join(text.casefold().split())
