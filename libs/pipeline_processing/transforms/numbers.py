"""Integers, numbers and money out of text. Nothing is rounded, cut or wrapped: what does not fit is a fault."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline_processing.transforms.reading import Reading, fill, option_text, option_texts, spelled, unread

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pipeline_processing.model import Json
    from pipeline_processing.transforms.reading import SeriesStep

_SYMBOLS: Final = ("$", "€", "£", "¥", "USD", "US$", "EUR", "GBP", "CAD", "MXN")


def integer(options: Mapping[str, Json], dtype: pl.DataType) -> SeriesStep:
    """Read whole numbers of 64 bits; ``1946.0`` is one, ``1946.5`` and 2**63 are faults. ``dtype`` is Int64."""
    clean = _cleaner(_grammar(options, fraction="0*"), options)
    plain = option_text(options, "decimal", ".") == "."

    def step(texts: pl.Series) -> Reading:
        value = texts.cast(dtype, strict=False)
        if plain:
            value = _retry(texts, value, lambda rest: rest.str.strip_suffix(".0").cast(dtype, strict=False))
        value = _retry(texts, value, lambda rest: clean(rest).str.replace(r"\.0*$", "").cast(dtype, strict=False))
        return _reading(texts, value)

    return step


def number(options: Mapping[str, Json], dtype: pl.DataType) -> SeriesStep:
    """Read numbers as ``dtype``, Float64 or a Decimal; words for infinity or no number are faults.

    ``percent`` reads ``12%`` as 0.12 and leaves ``0.12`` as it is.
    """
    clean = _cleaner(_grammar(options, exponent=True), options)
    read = _reader(dtype)
    percent = bool(options.get("percent"))

    def slow(rest: pl.Series) -> pl.Series:
        if not percent:
            return read(clean(rest))
        bare = rest.str.strip_chars()
        marked = bare.str.ends_with("%")
        value = read(clean(bare.str.strip_suffix("%")))
        return fill(value, marked, (value.filter(marked) / 100).cast(dtype))

    return _stepping(read, slow, plain=option_text(options, "decimal", ".") == ".")


def money(options: Mapping[str, Json], dtype: pl.DataType) -> SeriesStep:
    """Read amounts: ``$1,234.50``, ``(5.00)``, ``5.00-``, ``USD 5``, ``5.00 CR`` (negative) and ``5.00 DR``."""
    symbols = option_texts(options, "currencies") or _SYMBOLS
    symbol = "|".join(re.escape(text) for text in sorted(symbols, key=len, reverse=True))
    amount = _grammar(options, sign="")
    shape = (
        rf"(?i)^(?:(?:{symbol}|[-+]|\()\s*){{0,3}}(?:{amount})"
        rf"\s*(?:{symbol})?\s*(?:\)|-|CR|DR)?\s*(?:{symbol})?$"
    )
    clean = _cleaner(f"^(?:{amount})$", options)
    read = _reader(dtype)
    core = rf"(?i)({_grammar(options, sign='')})"

    def slow(rest: pl.Series) -> pl.Series:
        bare = rest.str.strip_chars()
        opened, closed = bare.str.contains("(", literal=True), bare.str.contains(")", literal=True)
        minus = bare.str.count_matches("-", literal=True)
        credit = bare.str.contains(r"(?i)[\d\s.]CR\b")
        right = bare.str.contains(shape) & (opened == closed) & (minus + opened + credit <= 1)
        right &= ~(bare.str.contains("+", literal=True) & ((minus > 0) | opened))
        value = read(clean(bare.set(~right, None).str.extract(core)))
        negative = (minus > 0) | opened | credit
        return fill(value, negative & value.is_not_null(), -value.filter(negative & value.is_not_null()))

    return _stepping(read, slow, plain=option_text(options, "decimal", ".") == ".")


NUMBER_STEPS: Final[Mapping[str, Callable[[Mapping[str, Json], pl.DataType], SeriesStep]]] = {
    "integer": integer,
    "number": number,
    "money": money,
}


def _stepping(
    read: Callable[[pl.Series], pl.Series], slow: Callable[[pl.Series], pl.Series], *, plain: bool
) -> SeriesStep:
    """Read with ``read``, and only what it can not read with ``slow``.

    Where a comma is the decimal sign, ``1.234`` is another number than Polars reads: then all goes the slow way.
    """

    def step(texts: pl.Series) -> Reading:
        value = _retry(texts, read(texts), slow) if plain else slow(texts)
        return _reading(texts, value)

    return step


def _retry(texts: pl.Series, value: pl.Series, read: Callable[[pl.Series], pl.Series]) -> pl.Series:
    left = unread(texts, value)
    return fill(value, left, read(texts.filter(left))) if left.any() else value


def _reading(texts: pl.Series, value: pl.Series) -> Reading:
    fault = unread(texts, value)
    if fault.any():
        fault &= spelled(texts).is_not_null()
    return Reading(value, fault)


def _grammar(
    options: Mapping[str, Json], *, sign: str = "[+-]?", fraction: str = r"\d*", exponent: bool = False
) -> str:
    """Return the regular expression of a number as the options have it; thousands stand in threes or not at all."""
    decimal = option_text(options, "decimal", ".")
    thousands = option_text(options, "thousands", "," if decimal == "." else ".")
    dot, mark = re.escape(decimal), re.escape(thousands)
    grouped = rf"[0-9]{{1,3}}(?:{mark}[0-9]{{3}})+|" if thousands else ""
    fraction = fraction.replace(r"\d", "[0-9]")
    power = r"(?:[eE][+-]?[0-9]+)?" if exponent else ""
    bare = rf"|{dot}[0-9]+" if fraction != "0*" else ""
    return rf"{sign}(?:(?:{grouped}[0-9]+)(?:{dot}{fraction})?{bare}){power}"


def _cleaner(grammar: str, options: Mapping[str, Json]) -> Callable[[pl.Series], pl.Series]:
    """Return a function that keeps what fits ``grammar``, as Polars writes numbers, and makes null of the rest."""
    decimal = option_text(options, "decimal", ".")
    thousands = option_text(options, "thousands", "," if decimal == "." else ".")
    whole = grammar if grammar.startswith("^") else f"^(?:{grammar})$"

    def clean(texts: pl.Series) -> pl.Series:
        bare = texts.str.strip_chars()
        bare = bare.set(~bare.str.contains(whole), None)
        if thousands:
            bare = bare.str.replace_all(thousands, "", literal=True)
        return bare if decimal == "." else bare.str.replace(decimal, ".", literal=True)

    return clean


def _reader(dtype: pl.DataType) -> Callable[[pl.Series], pl.Series]:
    if isinstance(dtype, pl.Decimal):
        # Polars rounds what has more decimals than the type: here that is a fault, not a number near it.
        excess = rf"\.[0-9]{{{dtype.scale}}}[0-9]*[1-9]|[eE]"

        def exact(texts: pl.Series) -> pl.Series:
            return texts.set(texts.str.contains(excess), None).cast(dtype, strict=False)

        return exact

    def finite(texts: pl.Series) -> pl.Series:
        value = texts.cast(pl.Float64, strict=False)
        return value if value.is_finite().all() else value.set(~value.is_finite(), None)

    return finite
