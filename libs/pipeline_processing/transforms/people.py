"""Names of persons: spacing, case, particles, suffixes and the order of their parts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from pipeline_processing.transforms.memo import Memo, spread
from pipeline_processing.transforms.reading import Reading, fill, option_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

    from pipeline_processing.model import Json
    from pipeline_processing.transforms.reading import SeriesStep

_SUFFIXES: Final[Mapping[str, str]] = {
    "jr": "Jr", "jnr": "Jr", "junior": "Jr", "sr": "Sr", "snr": "Sr", "senior": "Sr",
    "ii": "II", "iii": "III", "iv": "IV", "2nd": "II", "3rd": "III", "4th": "IV", "esq": "Esq",
}  # fmt: skip
_PARTICLES: Final = frozenset(
    {
        "van", "von", "der", "den", "de", "del", "della", "des", "di", "da", "dos", "das", "du", "la", "ter", "bin",
        "ibn", "el", "af", "av", "zu", "zur",
    }
)  # fmt: skip
"""Small between other words. Not y and e, which are initials here more often, nor le and al, which are names."""
_MAC: Final = frozenset(
    {
        "macarthur", "macaulay", "macbeth", "macdonald", "macdonnell", "macdougall", "macduff", "macfarlane",
        "macgregor", "macgillivray", "macinnes", "macintosh", "macintyre", "mackay", "mackenzie", "mackinnon",
        "mackintosh", "maclachlan", "maclaren", "maclean", "macleod", "macmillan", "macnamara", "macneil", "macneill",
        "macpherson", "macquarie", "macrae", "mactavish",
    }
)  # fmt: skip
"""Names where a capital follows Mac: by list, since Macy, Mack, Macias and Machado are written otherwise."""
_LONGEST: Final = 500
"""Characters; what is longer is no name, and only its blanks are collapsed."""
_SPACES: Final = re.compile(r"\s+")
_QUOTES: Final = str.maketrans({"\u2019": "'", "\u2018": "'", "`": "'", "\u00b4": "'", "\u02bc": "'"})
_PIECES: Final = re.compile(r"([-'.])")
_WORDS: Final = r"(?:[A-Z]+|[a-z]+|[A-Z][a-z]+|[A-Z]\.)(?: (?:[A-Z]+|[a-z]+|[A-Z][a-z]+|[A-Z]\.))*"
_PLAIN: Final = f"^{_WORDS}$"
_PLAIN_TURNED: Final = f"^{_WORDS}, {_WORDS}$"
_SPECIAL: Final = r"(?i)\b(?:mc|mac[a-z]|" + "|".join(f"{w}\\b" for w in sorted(_PARTICLES | set(_SUFFIXES))) + ")"
"""What is not done by capital letters alone: a name with one of these goes the long way."""
_PARTS: Final[Mapping[bool, Mapping[str, str]]] = {
    False: {
        "first": "^([^ ]+) ",
        "middle": "^[^ ]+ (.+) [^ ]+$",
        "last": "([^ ]+)$",
        "suffix": "^()",
    },
    True: {"first": ", ([^ ]+)", "middle": ", [^ ]+ (.+)$", "last": "^(.+), ", "suffix": "^()"},
}
"""Where the parts of a plain name stand, by whether the last name stands first."""


class Name(NamedTuple):
    """The parts of a name, each as it is written; empty where there is none."""

    first: str
    middle: str
    last: str
    suffix: str


def person_name(options: Mapping[str, Json]) -> SeriesStep:
    """Write names as people do: ``O'BRIEN-MCDONALD jr.`` becomes ``O'Brien-McDonald Jr``.

    ``order: last_first`` reads ``LAST SUFFIX, FIRST MIDDLE``; ``part`` keeps one part of the name. A word that already
    mixes capitals and small letters (``DeShawn``) is left as it is.
    """
    part, case = option_text(options, "part", "full"), option_text(options, "case", "title")
    turned = option_text(options, "order", "first_last") == "last_first"

    def rewrite(text: str) -> str | None:
        return write(text, turned=turned, part=part, case=case)

    memo = Memo(rewrite)
    if case != "title":
        return lambda texts: Reading(memo(texts))
    shape = _PLAIN_TURNED if turned else _PLAIN

    def step(texts: pl.Series) -> Reading:
        """Let Polars do the names that are nothing but plain words, which is most of them."""
        distinct = texts.unique()
        plain = distinct.str.contains(shape) & ~distinct.str.contains(_SPECIAL)
        done = _plain(distinct.set(~plain, None), turned=turned, part=part)
        rest = ~plain & distinct.is_not_null()
        if rest.any():
            done = fill(done, rest, memo(distinct.filter(rest)))
        return Reading(spread(texts, distinct, done))

    return step


def _plain(names: pl.Series, *, turned: bool, part: str) -> pl.Series:
    if turned and part == "full":
        names = names.str.replace("^(.+), (.+)$", "${2} ${1}")
    elif part != "full":
        names = names.str.extract(_PARTS[turned][part])
        names = names.set(names == "", None)
    return names.str.to_titlecase()


def write(text: str, *, turned: bool, part: str = "full", case: str = "title") -> str | None:
    """Return one name as it is to be written; None where nothing is left of it."""
    clean = _SPACES.sub(" ", text.translate(_QUOTES)).strip(" ,;")
    if len(clean) > _LONGEST:
        return clean
    if part == "full" and not turned:
        words = _words(clean, case)
    else:
        name = split(clean, turned=turned)
        if part == "suffix":
            return name.suffix or None
        chosen = [name.first, name.middle, name.last, name.suffix] if part == "full" else [getattr(name, part)]
        words = _words(" ".join(filter(None, chosen)), case)
    return words or None


def split(clean: str, *, turned: bool) -> Name:
    """Take a name apart; ``turned`` says that the last name stands first, with or without a comma after it."""
    groups = [group.split() for group in clean.split(",")]
    suffix = ""
    left = sum(map(len, groups))
    for group in reversed(groups):
        while left > 1 and group and _is_suffix(group[-1]):
            suffix = _suffix(group.pop()) + (f" {suffix}" if suffix else "")
            left -= 1
    groups = [group for group in groups if group]
    if not groups:
        return Name("", "", "", suffix)
    if turned:
        last, given = _turned(groups)
    else:
        words = [word for group in groups for word in group]
        given, last = _straight(words)
    return Name(" ".join(given[:1]), " ".join(given[1:]), " ".join(last), suffix)


def _turned(groups: list[list[str]]) -> tuple[list[str], list[str]]:
    if len(groups) > 1:
        return groups[0], [word for group in groups[1:] for word in group]
    words = groups[0]
    end = 1
    while end < len(words) - 1 and words[end - 1].casefold() in _PARTICLES:
        end += 1
    return words[:end], words[end:]


def _straight(words: list[str]) -> tuple[list[str], list[str]]:
    if len(words) == 1:
        return [], words
    start = len(words) - 1
    while start > 1 and words[start - 1].casefold() in _PARTICLES:
        start -= 1
    return words[:start], words[start:]


def _words(text: str, case: str) -> str:
    words = text.split(" ") if text else []
    if case == "upper":
        return " ".join(_bare(word).upper() for word in words)
    if case == "keep":
        return " ".join(words)
    return " ".join(_word(word, place, len(words)) for place, word in enumerate(words))


def _word(word: str, place: int, count: int) -> str:
    if place and _is_suffix(word):
        return _suffix(word)
    mixed = not (word.isupper() or word.islower())
    if 0 < place < count - 1 and word.casefold() in _PARTICLES and not mixed:
        return word.lower()
    if mixed and not word.istitle():
        return word
    return "".join(_piece(piece) for piece in _PIECES.split(word))


def _piece(piece: str) -> str:
    small = piece.lower()
    if small.startswith("mc") and len(small) > 3:  # noqa: PLR2004 - Mc and a name
        return f"Mc{small[2:].capitalize()}"
    if small in _MAC:
        return f"Mac{small[3:].capitalize()}"
    return small.capitalize()


def _bare(word: str) -> str:
    return _suffix(word) if _is_suffix(word) else word


def _is_suffix(word: str) -> bool:
    return word.strip(".,").casefold() in _SUFFIXES


def _suffix(word: str) -> str:
    return _SUFFIXES[word.strip(".,").casefold()]
