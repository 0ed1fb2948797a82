"""Cron expressions as Kubernetes reads them: what is refused here, its API server would refuse, or never start.

Source: robfig/cron v3, `ParseStandard`, which CronJobs are validated with. Pure.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from etl_core.errors import ConfigError, check_all

if TYPE_CHECKING:
    from collections.abc import Sequence

MACROS: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
LONGEST_MONTHS: Final = dict(zip(range(1, 13), (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31), strict=True))

_PART: Final = re.compile(r"(?P<low>\*|\?|\w+)(?:-(?P<high>\w+))?(?:/(?P<step>\w+))?")
_ORDER: Final = "write minute, hour, day of the month, month, day of the week, as in `15 2 * * 1-5`"


@dataclass(frozen=True, slots=True)
class Times:
    """One field, parsed: the numbers it names, and whether it began with a ``*``."""

    values: frozenset[int]
    is_any: bool


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    def parse(self, text: str, where: str) -> Times:
        parts = [self._part(part, text, where) for part in text.split(",")]
        return Times(frozenset().union(*(part.values for part in parts)), any(part.is_any for part in parts))

    def _part(self, part: str, text: str, where: str) -> Times:
        match = _PART.fullmatch(part)
        if match is None:
            raise self._fault(f"{text!r} is none", where)
        if match["low"] in {"*", "?"}:
            if match["high"]:
                raise self._fault(f"{part!r} is no range", where)
            first, last = self.low, self.high
        else:
            first = self._number(match["low"], where)
            # `5/15` is `5-59/15`, and `5` alone is `5-5`.
            last = self._number(match["high"], where) if match["high"] else self.high if match["step"] else first
        step = match["step"] or "1"
        if not step.isdecimal() or int(step) == 0:
            raise self._fault(f"{part!r} has a step that is no number from 1", where)
        if first > last:
            raise self._fault(f"{part!r} ends before it begins", where)
        return Times(frozenset(range(first, last + 1, int(step))), match["low"] in {"*", "?"})

    def _number(self, word: str, where: str) -> int:
        if word.lower() in self.names:
            return self.low + self.names.index(word.lower())
        if not word.isascii() or not word.isdecimal():
            near = difflib.get_close_matches(word.lower(), self.names, n=1)
            raise self._fault(f"{word!r} is none" + (f", did you mean {near[0]}?" if near else ""), where)
        if not self.low <= int(word) <= self.high:
            sunday = ": Sunday is 0" if self.names and self.low == 0 else ""
            raise self._fault(f"{word} is not within {self.low} to {self.high}{sunday}", where)
        return int(word)

    def _fault(self, what: str, where: str) -> ConfigError:
        return ConfigError(f"{self.name}: {what}", where=where)


_FIELDS: Final = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")),
    _Field("day of the week", 0, 6, ("sun", "mon", "tue", "wed", "thu", "fri", "sat")),
)


def check_cron(expression: str, *, where: str = "cron") -> None:
    """Raise ConfigError that names every fault of ``expression``, also where it names no day that ever comes.

    >>> check_cron("15 2 * * mon-fri")
    """
    text = expression.strip()
    if "TZ=" in text:
        raise ConfigError(
            "the time zone does not stand in the schedule", where=where, way_out="give it by itself, as in Etc/UTC"
        )
    if text.startswith("@"):
        text = _macro(text, where)
    words = text.split()
    if len(words) != len(_FIELDS):
        raise ConfigError(
            f"{expression!r} has {len(words)} fields; a schedule has {len(_FIELDS)}", where=where, way_out=_ORDER
        )
    check_all(*(partial(field.parse, word, where) for field, word in zip(_FIELDS, words, strict=True)))
    _refuse_never(expression, [field.parse(word, where) for field, word in zip(_FIELDS, words, strict=True)], where)


def _macro(text: str, where: str) -> str:
    if text.startswith("@every"):
        raise ConfigError(
            "@every counts from whenever the CronJob was last looked at",
            where=where,
            way_out="name times: */15 * * * *",
        )
    if text not in MACROS:
        raise ConfigError(f"{text} is no schedule", where=where, way_out=f"there are {', '.join(MACROS)}")
    return MACROS[text]


def _refuse_never(expression: str, times: Sequence[Times], where: str) -> None:
    """Days of the month and of the week are alternatives where both are given, so a day of the week always comes."""
    _, _, days, months, weekdays = times
    if not days.is_any and not weekdays.is_any:
        return
    if not any(day <= LONGEST_MONTHS[month] for day in days.values for month in months.values):
        raise ConfigError(f"{expression!r} names a day that no month has", where=where, way_out=_ORDER)
