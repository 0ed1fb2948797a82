"""Cron lines as the CronJob controller reads them: robfig/cron's standard parser."""

from __future__ import annotations

import re

_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
_FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of month", 1, 31, {}),
    ("month", 1, 12, {name: number for number, name in enumerate(_MONTHS, start=1)}),
    ("day of week", 0, 6, {name: number for number, name in enumerate(_DAYS)}),
)
_SHORT = {"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"}
_DAYS_OF = {1: 31, 2: 29, 3: 31, 4: 30, 5: 31, 6: 30, 7: 31, 8: 31, 9: 30, 10: 31, 11: 30, 12: 31}


def fault(line: str) -> str:
    """Return what is wrong with a schedule, or ""."""
    if line.startswith(("TZ=", "CRON_TZ=")):
        return "names a time zone, which belongs into timeZone"
    if line in _SHORT:
        return ""
    parts = line.split()
    if len(parts) != len(_FIELDS):
        return f"has {len(parts)} fields, not 5"
    chosen: list[set[int]] = []
    for part, (name, least, most, words) in zip(parts, _FIELDS, strict=True):
        try:
            chosen.append(set().union(*(_range(one, least, most, words) for one in part.split(","))))
        except ValueError as error:
            return f"its {name}: {error}"
    # A day of the week beside it would be a second way to be due.
    if parts[4] in {"*", "?"} and not any(min(chosen[2]) <= _DAYS_OF[month] for month in chosen[3]):
        return "is never due: those months have no such day"
    return ""


def _range(text: str, least: int, most: int, words: dict[str, int]) -> set[int]:
    match = re.fullmatch(r"(?:(\*|\?)|(\w+)(?:-(\w+))?)(?:/(\d+))?", text)
    if not match:
        raise ValueError(f"{text!r} is no value, range or step")
    step = int(match[4] or 1)
    if match[1]:
        first, last = least, most
    else:
        first = _number(match[2], words)
        last = _number(match[3], words) if match[3] else (most if match[4] else first)
    if not (least <= first <= last <= most) or step < 1:
        raise ValueError(f"{text!r} is outside {least} to {most}, or runs backwards")
    return set(range(first, last + 1, step))


def _number(text: str, words: dict[str, int]) -> int:
    if text.lower() in words:
        return words[text.lower()]
    if not text.isascii() or not text.isdigit():
        raise ValueError(f"{text!r} is no number")
    return int(text)
