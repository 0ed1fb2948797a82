"""Date formats of the standard (Java's DateTimeFormatter letters) as those of strptime."""

from __future__ import annotations

import re
from typing import Final

_LETTERS: Final = {
    "yyyy": "%Y",
    "uuuu": "%Y",
    "yy": "%y",
    "MMMM": "%B",
    "MMM": "%b",
    "MM": "%m",
    "M": "%m",
    "dd": "%d",
    "d": "%d",
    "HH": "%H",
    "H": "%H",
    "hh": "%I",
    "h": "%I",
    "mm": "%M",
    "ss": "%S",
    "SSS": "%3f",
    "SSSSSS": "%6f",
    "a": "%p",
    "XXX": "%:z",
    "Z": "%z",
    "EEEE": "%A",
    "EEE": "%a",
}
_TOKEN: Final = re.compile(r"'((?:[^']|'')*)'|([A-Za-z])\2*|[^A-Za-z']+|'")


def strptime_format(java: str) -> str | None:
    """Return the format for strptime, or None where it has a letter that we do not read."""
    parts: list[str] = []
    for match in _TOKEN.finditer(java):
        part = match[0]
        if match[1] is not None:
            parts.append((match[1].replace("''", "'") or "'").replace("%", "%%"))
        elif match[2]:
            if part not in _LETTERS:
                return None
            parts.append(_LETTERS[part])
        elif part == "'":
            return None
        else:
            parts.append(part.replace("%", "%%"))
    return "".join(parts)
