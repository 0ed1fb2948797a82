"""A slow function of one text, applied to a column: once a distinct value, and remembered across batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT: Final = 32_768
"""Values remembered: about 8 MB of short texts."""
LONGEST: Final = 256
"""Characters of a text that is remembered; longer ones hardly repeat, and one of 16 MB would not be small."""


class Memo:
    """Applies ``function`` to the distinct values of a Series; None in, None out.

    At most ``limit`` results are kept: when more come, the older half is forgotten.
    """

    def __init__(self, function: Callable[[str], str | None], limit: int = LIMIT) -> None:
        self._function, self._limit = function, limit
        self._known: dict[str, str | None] = {}

    def __call__(self, texts: pl.Series) -> pl.Series:
        """Return the function's results, in the order of ``texts``."""
        distinct = texts.unique(maintain_order=True)
        known, function = self._known, self._function
        results: list[str | None] = []
        for text in distinct:
            if text is None:
                results.append(None)
                continue
            try:
                result = known[text]
            except KeyError:
                result = function(text)
                if len(text) <= LONGEST:
                    known[text] = result
            results.append(result)
        self._forget()
        return spread(texts, distinct, pl.Series(results, dtype=pl.String))

    def _forget(self) -> None:
        if len(self._known) > self._limit:
            kept = list(self._known.items())[len(self._known) - self._limit // 2 :]
            self._known = dict(kept)


def spread(texts: pl.Series, distinct: pl.Series, results: pl.Series) -> pl.Series:
    """Return, for each of ``texts``, the result that stands beside it in ``distinct``."""
    if distinct.equals(results, check_dtypes=True):  # else texts are cast to Booleans, which raises
        return texts
    pairs = pl.DataFrame({"text": distinct, "result": results})
    return texts.to_frame("text").join(pairs, on="text", how="left", maintain_order="left")["result"]


def by_distinct(texts: pl.Series, function: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """Return ``function(texts)``, computed once a distinct value where values repeat enough for that to be cheaper."""
    distinct = texts.unique()
    if len(distinct) * 2 > len(texts):
        return function(texts)
    return spread(texts, distinct, function(distinct))
