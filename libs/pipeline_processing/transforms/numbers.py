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
        return fill(value, marked, _hundredth(value.filter(marked), dtype))

    return _stepping(read, slow, plain=option_text(options, "decimal", ".") == ".")


def money(options: Mapping[str, Json], dtype: pl.DataType) -> SeriesStep:
    """Read amounts: ``$1,234.50``, ``(5.00)``, ``5.00-``, ``USD 5``, ``5.00 CR`` (negative) and ``5.00 DR``."""
    clean = _cleaner(None, options)
    read = _reader(dtype)
    shapes = _money_shapes(options)

    def slow(rest: pl.Series) -> pl.Series:
        value = pl.repeat(None, len(rest), dtype=dtype, eager=True)
        bare = spelled(rest)
        for sign, shape in shapes:
            left = unread(bare, value)
            if not left.any():
                break
            amount = read(clean(bare.filter(left).str.extract(shape)))
            value = fill(value, left, amount if sign > 0 else -amount)
        return _unsigned_zero(value)

    return _stepping(read, slow, plain=option_text(options, "decimal", ".") == ".")


def _money_shapes(options: Mapping[str, Json]) -> tuple[tuple[int, str], ...]:
    """Return the ways to write an amount, each with its sign and one group, the amount itself."""
    symbols = option_texts(options, "currencies") or _SYMBOLS
    spelled_out = sorted(
        {s for text in symbols for s in (text, text.upper(), text.lower())}, key=lambda s: (-len(s), s)
    )
    symbol = rf"(?:{'|'.join(re.escape(text) for text in spelled_out)})"
    amount = f"({_grammar(options, sign='')})"
    before, after = rf"(?:{symbol}\s*)?", rf"(?:\s*{symbol})?"
    return (
        (1, rf"^\+?{before}{amount}{after}(?:\s*(?:DR|Dr|dr))?$"),
        (-1, rf"^{before}\(\s*{before}{amount}{after}\s*\){after}$"),
        (-1, rf"^-\s*{before}{amount}{after}$"),
        (-1, rf"^{symbol}\s*-\s*{amount}$"),
        (-1, rf"^{before}{amount}{after}\s*(?:-|CR|Cr|cr){after}$"),
    )


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


def _unsigned_zero(value: pl.Series) -> pl.Series:
    """Make -0 the 0 that it equals; adding 0.0 does not, since Polars leaves that out."""
    if value.dtype != pl.Float64:
        return value
    zero = value == 0.0
    return value.set(zero, 0.0) if zero.any() else value


def _hundredth(value: pl.Series, dtype: pl.DataType) -> pl.Series:
    """Divide by a hundred; what a Decimal has no digits for is null."""
    share = (value / 100).cast(dtype)
    return share if dtype == pl.Float64 else share.set(share * 100 != value, None)


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


def _cleaner(grammar: str | None, options: Mapping[str, Json]) -> Callable[[pl.Series], pl.Series]:
    """Return a function that writes numbers as Polars does, and makes null of what does not fit ``grammar``."""
    decimal = option_text(options, "decimal", ".")
    thousands = option_text(options, "thousands", "," if decimal == "." else ".")

    def clean(texts: pl.Series) -> pl.Series:
        bare = texts
        if grammar is not None:
            bare = texts.str.strip_chars()
            bare = bare.set(~bare.str.contains(f"^(?:{grammar})$"), None)
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
        value = _unsigned_zero(texts.cast(pl.Float64, strict=False))
        return value if value.is_finite().all() else value.set(~value.is_finite(), None)

    return finite
