"""Columns made of other columns of the same row: SQL expressions, and keys that join rows of different files."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

import polars as pl

from etl_core.errors import ConfigError
from pipeline_processing.contracts.expressions import expression_fault, key_columns
from pipeline_processing.transforms.memo import Memo

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_KEY_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Derived:
    """A compiled expression. ``inputs`` are the columns it reads; ``is_key`` says that it is a ``key(…)``."""

    column: str
    inputs: tuple[str, ...]
    evaluate: Callable[[pl.DataFrame], pl.Series]
    is_key: bool = False


def compile_derived(column: str, text: str, schema: Mapping[str, pl.DataType]) -> Derived:
    """Compile ``text``, ``key(a, b)`` or a Polars SQL expression, over columns of ``schema``; else ConfigError.

    An expression must be of the row alone, and must not read the clock: the same row gives the same value for ever.
    """
    keyed = key_columns(text)
    if keyed is not None:
        if unknown := [name for name in keyed if name not in schema]:
            raise _wrong(column, f"it reads {', '.join(unknown)}: there is no such column")
        return Derived(column, keyed, _keyer(keyed), is_key=True)
    if fault := expression_fault(text, schema):
        raise _wrong(column, fault)
    expression = pl.sql_expr(text)
    return Derived(column, tuple(dict.fromkeys(expression.meta.root_names())), _evaluator(column, expression))


def in_order(derived: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the names of ``derived`` each after those it reads; ConfigError where they go in a circle."""
    ordered: list[str] = []
    waiting = dict(derived)
    while waiting:
        ready = [name for name, inputs in waiting.items() if not any(other in waiting for other in inputs)]
        if not ready:
            raise ConfigError(f"derived columns read each other in a circle: {', '.join(waiting)}")
        ordered += ready
        for name in ready:
            del waiting[name]
    return ordered


def _wrong(column: str, what: str, way_out: str = "") -> ConfigError:
    return ConfigError(what, where=f"derived column {column!r}", way_out=way_out)


def _evaluator(column: str, expression: pl.Expr) -> Callable[[pl.DataFrame], pl.Series]:
    def evaluate(frame: pl.DataFrame) -> pl.Series:
        try:
            return frame.with_columns(expression.alias(column))[column]
        except pl.exceptions.PolarsError:
            # Polars' own message shows values of the rows.
            raise _wrong(
                column,
                "its expression fails on a row of this file",
                "write TRY_CAST for CAST: it gives null where a text can not be read",
            ) from None

    return evaluate


def _keyer(inputs: Sequence[str]) -> Callable[[pl.DataFrame], pl.Series]:
    """Digest the values' texts, each with its length before it, so that (ab, c) is another key than (a, bc).

    A row without one of the values has no key: rows that lack the same thing are not the same.
    """
    memo = Memo(lambda text: blake2b(text.encode(), digest_size=_KEY_BYTES).hexdigest())
    texts = [pl.col(name).cast(pl.String) for name in inputs]
    parts = [part for text in texts for part in (text.str.len_bytes().cast(pl.String), pl.lit(":"), text)]

    def evaluate(frame: pl.DataFrame) -> pl.Series:
        return memo(frame.select(pl.concat_str(parts))[:, 0])

    return evaluate
