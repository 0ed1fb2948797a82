"""What a normaliser is: a function of expressions where Polars can do it all, of a whole Series where it can not."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline_processing.model import Json


class Reading(NamedTuple):
    """A step's result. ``fault`` is True where text stood and could not be read; the value is null there."""

    value: pl.Series
    fault: pl.Series | None = None


TextStep: TypeAlias = Callable[[pl.Expr], pl.Expr]
"""Text to text, fused with its neighbours into one `select`."""
SeriesStep: TypeAlias = Callable[[pl.Series], Reading]
"""Text of one batch to a reading of the same length, row by row: what one row gives depends on no other row."""


def option_text(options: Mapping[str, Json], name: str, default: str) -> str:
    """Return a text option, or ``default``."""
    value = options.get(name)
    return default if value is None else str(value)


def option_texts(options: Mapping[str, Json], name: str) -> tuple[str, ...]:
    """Return a list of texts; empty where the option is not given."""
    return tuple(str(text) for text in options.get(name) or ())


def unread(texts: pl.Series, value: pl.Series) -> pl.Series:
    """Return where ``texts`` says something and ``value`` is null."""
    if value.null_count() == texts.null_count():
        return pl.repeat(False, len(texts), eager=True)  # noqa: FBT003 - the value to repeat
    return texts.is_not_null() & value.is_null()


def spelled(texts: pl.Series) -> pl.Series:
    """Return ``texts`` without blanks around; null where nothing is left."""
    stripped = texts.str.strip_chars()
    return stripped.set(stripped == "", None)


def fill(value: pl.Series, at: pl.Series, found: pl.Series) -> pl.Series:
    """Return ``value`` with ``found`` put in, in order, where the mask ``at`` is True."""
    value[at.arg_true()] = found
    return value
