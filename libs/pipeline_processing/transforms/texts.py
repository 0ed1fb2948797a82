"""Steps from text to text that Polars does by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline_processing.transforms.reading import option_text, option_texts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pipeline_processing.model import Json
    from pipeline_processing.transforms.reading import TextStep

# White space as Unicode has it: a no-break space pasted from a web page is a blank too.
_BLANKS: Final = r"\s{2,}|[^\S ]"
_INVISIBLE: Final = r"[\u200B-\u200F\u202A-\u202E\u2060-\u2064\uFEFF\u00AD]|[\p{Cc}--[\t\n\r]]"
_MARKS: Final = r"\p{Mn}+"
_TYPOGRAPHIC: Final = {
    "\u2018": "'", "\u2019": "'", "\u201a": "'", "\u201b": "'", "\u2032": "'", "\u02bc": "'",
    "\u201c": '"', "\u201d": '"', "\u201e": '"', "\u2033": '"',
    "\u2010": "-", "\u2011": "-", "\u2012": "-", "\u2013": "-", "\u2014": "-", "\u2212": "-",
    "\u2026": "...", "\u00a0": " ", "\u202f": " ",
}  # fmt: skip


def trim(options: Mapping[str, Json]) -> TextStep:
    """Take white space, or the ``characters`` given, from both ends."""
    characters = options.get("characters")
    return lambda text: text.str.strip_chars(characters)


def collapse_spaces(_: Mapping[str, Json]) -> TextStep:
    """Make each run of white space one space, and take it from the ends."""
    return lambda text: text.str.replace_all(_BLANKS, " ").str.replace_all("  ", " ", literal=True).str.strip_chars()


def unicode(options: Mapping[str, Json]) -> TextStep:
    """Bring text to one Unicode ``form``, without invisible characters.

    ``punctuation`` makes typographic quotes, dashes and spaces plain; ``accents: strip`` takes diacritics off.
    """
    form = option_text(options, "form", "NFC")
    plain = dict(_TYPOGRAPHIC) if options.get("punctuation") else {}
    strips = options.get("accents") == "strip"

    def step(text: pl.Expr) -> pl.Expr:
        if plain:
            text = text.str.replace_many(plain)
        if strips:
            text = text.str.normalize("NFKD" if form.startswith("NFK") else "NFD").str.replace_all(_MARKS, "")
        text = text.str.normalize(form)  # type: ignore[arg-type]  # one of the table's choices
        return text.str.replace_all(_INVISIBLE, "")

    return step


def upper(_: Mapping[str, Json]) -> TextStep:
    """Make capitals."""
    return lambda text: text.str.to_uppercase()


def lower(_: Mapping[str, Json]) -> TextStep:
    """Make small letters."""
    return lambda text: text.str.to_lowercase()


def title(_: Mapping[str, Json]) -> TextStep:
    """Begin each word with a capital; what follows an apostrophe in ``Driver's`` and ``Don't`` stays small."""
    return lambda text: (
        text.str.to_titlecase()
        .str.replace_all(r"(\pL{2})(['\u2019])S\b", "${1}${2}s")
        .str.replace_all(r"(\pL{2})(['\u2019])T\b", "${1}${2}t")
    )


def replace(options: Mapping[str, Json]) -> TextStep:
    """Replace whole ``values``, or every ``pattern`` (a regular expression unless ``literal``) by ``with``."""
    pattern, substitute = options.get("pattern"), option_text(options, "with", "")
    values: Mapping[str, str] = options.get("values") or {}
    literal = bool(options.get("literal"))

    def step(text: pl.Expr) -> pl.Expr:
        if pattern is not None:
            text = text.str.replace_all(str(pattern), substitute, literal=literal)
        return text.replace(list(values), list(values.values())) if values else text

    return step


def null_if(options: Mapping[str, Json]) -> TextStep:
    """Make the ``values`` null, compared without blanks around; ``ignore_case`` compares without case."""
    values = [value.strip() for value in option_texts(options, "values")]
    ignore_case = bool(options.get("ignore_case"))
    if ignore_case:
        values = [value.lower() for value in values]

    def step(text: pl.Expr) -> pl.Expr:
        compared = text.str.strip_chars()
        if ignore_case:
            compared = compared.str.to_lowercase()
        return pl.when(~compared.is_in(values)).then(text)

    return step


def pad(options: Mapping[str, Json]) -> TextStep:
    """Pad to ``length`` with ``fill`` (``0``) on one ``side`` (left); longer texts stay as they are."""
    length, fill = int(options["length"]), option_text(options, "fill", "0")
    if options.get("side") == "right":
        return lambda text: text.str.pad_end(length, fill)
    return lambda text: text.str.pad_start(length, fill)


def strip_prefix(options: Mapping[str, Json]) -> TextStep:
    """Take ``text`` from the beginning, once."""
    return lambda text: text.str.strip_prefix(str(options["text"]))


def strip_suffix(options: Mapping[str, Json]) -> TextStep:
    """Take ``text`` from the end, once."""
    return lambda text: text.str.strip_suffix(str(options["text"]))


def digits(_: Mapping[str, Json]) -> TextStep:
    """Keep the digits 0 to 9 only."""
    return lambda text: text.str.replace_all(r"[^0-9]+", "")


COSTLY: Final = frozenset({"collapse_spaces", "unicode", "title", "replace", "null_if", "digits"})
"""Steps that cost more than to find a column's distinct values: 50 to 300 ns a value."""
TEXT_STEPS: Final[Mapping[str, Callable[[Mapping[str, Json]], TextStep]]] = {
    "trim": trim,
    "collapse_spaces": collapse_spaces,
    "unicode": unicode,
    "upper": upper,
    "lower": lower,
    "title": title,
    "replace": replace,
    "null_if": null_if,
    "pad": pad,
    "strip_prefix": strip_prefix,
    "strip_suffix": strip_suffix,
    "digits": digits,
}
