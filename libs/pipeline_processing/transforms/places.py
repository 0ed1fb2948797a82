"""States and street addresses of the United States."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pipeline_processing.transforms.contacts import judged
from pipeline_processing.transforms.memo import Memo
from pipeline_processing.transforms.postal import (
    AP_STYLE,
    DIRECTIONS,
    STATES,
    SUFFIXES,
    UNITS,
    UNITS_ALONE,
)
from pipeline_processing.transforms.reading import Reading, option_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline_processing.model import Json
    from pipeline_processing.transforms.reading import SeriesStep

_NO_LETTERS: Final = re.compile(r"[^a-z]+")
_CODES: Final = {
    _NO_LETTERS.sub("", spelling.casefold()): code
    for table in (STATES, AP_STYLE)
    for code, spellings in table.items()
    for spelling in (code, *((spellings,) if isinstance(spellings, str) else spellings))
}
_SPACES: Final = re.compile(r"[\s,]+")
_POST_BOX: Final = re.compile(r"^(?:P\.? ?O\.?|POST OFFICE) ?BOX\b ?#?")
_PASSES: Final = 5
_LONGEST: Final = 500
"""Characters; what is longer is no street line."""
_DOTS: Final = re.compile(r"(?<=[A-Z])\.(?=\s|$|[A-Z]\b)|(?<=\d)\.(?=\s|$)")


def us_state(options: Mapping[str, Json]) -> SeriesStep:
    """Write states as the two letters of the postal service (``to: name`` writes the name); what is none is a fault."""
    named = option_text(options, "to", "code") == "name"

    def read(text: str) -> str | None:
        code = _CODES.get(_NO_LETTERS.sub("", text.casefold()))
        return STATES[code] if named and code else code

    return judged(Memo(read), option_text(options, "invalid", "fault"))


def us_address(options: Mapping[str, Json]) -> SeriesStep:
    """Write the street line of an address as USPS Publication 28 has it: ``120 N MICHIGAN AVE APT 4``."""
    titled = option_text(options, "case", "upper") == "title"

    def write(text: str) -> str | None:
        line = standard_address(text)
        return (_titled(line) if titled else line) or None

    memo = Memo(write)
    return lambda texts: Reading(memo(texts))


def standard_address(text: str) -> str:
    """Return the street line in capitals with the standard's abbreviations. What it does not know, it leaves.

    Done again until nothing changes, so that a line that is standard already stays as it is.
    """
    line = text
    if len(text) > _LONGEST:
        return _SPACES.sub(" ", text.upper()).strip()
    for _ in range(_PASSES):
        before, line = line, _abbreviated(line)
        if line == before:
            break
    return line


def _abbreviated(text: str) -> str:
    line = _DOTS.sub("", _SPACES.sub(" ", text.upper()).strip())
    line = _POST_BOX.sub("PO BOX ", line).replace("#", " # ")
    words = line.split()
    if not words or words[:2] == ["PO", "BOX"]:
        return " ".join(words)
    street, unit = _apart(words)
    return " ".join([*_street(street), *unit])


def _apart(words: list[str]) -> tuple[list[str], list[str]]:
    """Part a line's words into its street and its unit (``APT 4``), which comes last."""
    for place in range(len(words) - 1, 1, -1):
        word = words[place]
        follows = len(words) - place - 1
        if word == "#" and follows == 1:
            before = UNITS.get(words[place - 1]) or UNITS_ALONE.get(words[place - 1])
            if before:
                return words[: place - 1], [before, words[place + 1]]
            return words[:place], ["#", words[place + 1]]
        numbered = follows == 1 and _is_number(words[-1])
        if (word in UNITS and numbered) or (word in UNITS_ALONE and (numbered or not follows)):
            return words[:place], [UNITS.get(word) or UNITS_ALONE[word], *words[place + 1 :]]
    return words, []


def _is_number(word: str) -> bool:
    """Say whether a word may number a unit: ``4``, ``4B``, ``B``, ``NORTH``; 100 W PIER ST has no pier called ST."""
    return len(word) == 1 or word in DIRECTIONS or any(character.isdigit() for character in word)


def _street(words: list[str]) -> list[str]:
    """Abbreviate direction, suffix, direction around a street's name, and never the name itself."""
    if len(words) < 3:  # noqa: PLR2004 - number, name and suffix; a shorter line has nothing but its name
        return words
    start, end = 1, len(words)
    head, tail = words[:1], []
    if words[end - 1] in DIRECTIONS and end - start > 2:  # noqa: PLR2004 - a name and a suffix before it
        tail = [DIRECTIONS[words[end - 1]]]
        end -= 1
    if words[end - 1] in SUFFIXES and end - start > 1:
        tail = [SUFFIXES[words[end - 1]], *tail]
        end -= 1
    if words[start] in DIRECTIONS and end - start > 1:
        head.append(DIRECTIONS[words[start]])
        start += 1
    return [*head, *words[start:end], *tail]


def _titled(line: str) -> str:
    kept = {*DIRECTIONS.values(), "PO"}
    return " ".join(word if word in kept or word[:1].isdigit() else word.capitalize() for word in line.split())
