"""Which formats a date is tried in, and in which order."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from etl_core.errors import ConfigError
from pipeline_processing.transforms.reading import option_text, option_texts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline_processing.model import Json

ISO: Final = "%Y-%m-%d"
_UNMISTAKABLE: Final = ("%Y/%m/%d", "%Y%m%d", "%d-%B-%Y", "%d %B %Y", "%B %d, %Y", "%B %d %Y", "%b. %d, %Y", "%d-%b-%y")
"""Formats in which nobody can take the day for the month. ``%B`` reads short names too."""
_SHORTHANDS: Final[Mapping[str, tuple[str, ...]]] = {
    "MDY": ("%Y%m%d", "%m/%d/%Y", "%m-%d-%Y", "%m.%d.%Y", "%m/%d/%y", "%m-%d-%y", "%m.%d.%y", "%m%d%Y"),
    "DMY": ("%Y%m%d", "%d/%m/%Y", "%d-%m-%Y", "%d.%m.%Y", "%d/%m/%y", "%d-%m-%y", "%d.%m.%y", "%d%m%Y"),
    "YMD": ("%Y.%m.%d", "%y-%m-%d", "%y/%m/%d", "%y%m%d"),
}
"""``%Y%m%d`` goes first: 20051026 is no 20 May 1026, and what is meant as one of the others is hardly ever a year."""
_TIMES: Final = ("%H:%M:%S%.f", "%H:%M", "%I:%M:%S %p", "%I:%M %p")
CLOCKS: Final = (*_TIMES, "%H%M", "%I:%M%p")
"""Formats of a time of day."""
_KNOWN: Final = re.compile(r"%(?:[-_0]?[A-Za-z%]|\.?[369]?f|:{0,3}z|#z)")
_WIDTHS: Final = {"%Y": 4, "%y": 2, "%m": 2, "%d": 2, "%H": 2, "%M": 2, "%S": 2}
_CENTURY: Final = 2068
"""Last year that a two-digit year may mean where the contract does not say: POSIX's rule, 69 is 1969."""


def date_formats(options: Mapping[str, Json]) -> tuple[str, ...]:
    """Return the formats in the order they are tried.

    The contract's own ``formats``, else those of its ``order`` and then those that can not be mistaken; ISO 8601 last
    unless ``strict``.
    """
    own = option_texts(options, "formats")
    check(own)
    tried = own or (*_SHORTHANDS.get(option_text(options, "order", ""), ()), *_UNMISTAKABLE)
    return tuple(dict.fromkeys(tried if options.get("strict") and own else (*tried, ISO)))


def timestamp_formats(options: Mapping[str, Json]) -> tuple[str, ...]:
    """Return the formats of timestamps in the order they are tried, but for ISO 8601, which has a path of its own.

    A contract's format without a time of day stands for midnight.
    """
    own = option_texts(options, "formats")
    check(own)
    if own:
        return own
    shorthand = _SHORTHANDS.get(option_text(options, "order", ""), ())
    dates = (*(form for form in shorthand if digit_runs(form) is None), "%Y/%m/%d", "%Y%m%d")
    return (*(f"{date} {time}" for date in dates for time in _TIMES), *dates)


def century_end(options: Mapping[str, Json]) -> int:
    """Return the last year that a two-digit year may mean: ``max_year``, or 2000 + ``pivot``, the earlier of both."""
    ends = [int(options["max_year"])] if options.get("max_year") is not None else []
    if options.get("pivot") is not None:
        ends.append(2000 + int(options["pivot"]))
    return min(ends, default=_CENTURY)


def check(formats: tuple[str, ...]) -> None:
    """Raise ConfigError where a format has no directive, or one that is none."""
    for text in formats:
        if "%" not in text or "%" in _KNOWN.sub("", text):
            raise ConfigError(f"{text!r} is no date format", way_out="write one like %m/%d/%Y")


def digit_runs(text: str) -> str | None:
    """Return a regular expression that texts of a format without separators between numbers must fit; else None.

    Without it ``%Y%m%d`` would read 2020112, which is either of two days.
    """
    runs = re.findall(r"(?:%[YymdHMS]){2,}", text)
    if not runs:
        return None
    widths = [sum(_WIDTHS[directive] for directive in re.findall("%.", run)) for run in runs]
    return "^" + "".join(rf"(?:[^0-9]*|.*[^0-9])[0-9]{{{width}}}" for width in widths) + "(?:[^0-9].*)?$"


def has_clock(text: str) -> bool:
    """Say whether a format reads a time of day."""
    return any(directive in text for directive in ("%H", "%I", "%T", "%R", "%r", "%k", "%l", "%X"))


def has_offset(text: str) -> bool:
    """Say whether a format reads an offset from UTC."""
    return any(directive in text for directive in ("%z", "%:z", "%#z"))


def has_short_year(text: str) -> bool:
    """Say whether a format reads years of two digits."""
    return "%y" in text or "%D" in text
