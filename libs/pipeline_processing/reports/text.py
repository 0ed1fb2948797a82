"""How a report spells what came from elsewhere, on a page or a terminal."""

from __future__ import annotations

from datetime import UTC, datetime


def printable(text: str) -> str:
    """Return ``text`` with its control characters spelled out: a key may hold a line break or an escape sequence."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def counted(number: int, noun: str) -> str:
    """Return a number with its noun.

    >>> counted(1, "item"), counted(2_000, "item"), counted(0, "row")
    ('1 item', '2,000 items', '0 rows')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def taken_back(rolled_back_at: str) -> str:
    """Return what is said of a run whose publish was rolled back, whatever its report says."""
    return f"rolled back at {moment(rolled_back_at)}: readers do not see what it published any more"


def moment(iso: str) -> str:
    """Return a time to the second, in UTC.

    >>> moment("2030-01-31T06:00:00.123456+00:00")
    '2030-01-31 06:00:00 UTC'
    """
    return f"{datetime.fromisoformat(iso).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
