"""Telephone numbers and e-mail addresses."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

import phonenumbers

from etl_core.errors import ConfigError
from pipeline_processing.transforms.memo import Memo, by_distinct
from pipeline_processing.transforms.reading import Reading, fill, option_text, spelled, unread

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import polars as pl

    from pipeline_processing.model import Json
    from pipeline_processing.transforms.reading import SeriesStep

_NORTH_AMERICA: Final = 1
_PLAIN_NUMBER: Final = r"^(?:\+?1[ .-]?)?(?:\([0-9]{3}\)|[0-9]{3})[ .-]?[0-9]{3}[ .-]?[0-9]{4}$"
_NUMBER_KINDS: Final = (
    "fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost", "personal_number", "voip", "pager", "uan",
    "voicemail",
)  # fmt: skip
_FORMATS: Final = {
    "e164": phonenumbers.PhoneNumberFormat.E164,
    "national": phonenumbers.PhoneNumberFormat.NATIONAL,
    "international": phonenumbers.PhoneNumberFormat.INTERNATIONAL,
}
# RFC 5321's limits, and the characters that RFC 5322 allows without quotes; a domain needs a dot here.
_LOCAL: Final = r"^[a-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*@"
_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_EMAIL: Final = rf"{_LOCAL}(?:{_LABEL}\.)+{_LABEL}$"
_LETTERS: Final = r"[\p{Ll}\p{Lo}0-9]"
_EMAIL_ABROAD: Final = rf"{_LOCAL}(?:{_LETTERS}(?:[\p{{Ll}}\p{{Lo}}0-9-]*{_LETTERS})?\.)+{_LETTERS}{{2,}}$"
"""Domains of other scripts; slower by far, and so asked only where the first does not fit."""
_EMAIL_BYTES: Final = 254
_PHONE_CHARACTERS: Final = 60
"""Longer texts hold no telephone number, and are not worth the parser's time."""


def phone(options: Mapping[str, Json]) -> SeriesStep:
    """Write numbers as E.164, or another ``format``; one that its country does not have can not be read.

    ``region`` (US) is where numbers without a country code belong. An extension is kept as ``;ext=12`` (RFC 3966)
    after E.164.
    """
    region = option_text(options, "region", "US").upper()
    if region not in phonenumbers.SUPPORTED_REGIONS:
        raise ConfigError(f"{region!r} is no region of telephone numbers", way_out="write one like US")
    style = option_text(options, "format", "e164")

    def read(text: str) -> str | None:
        return parse_phone(text, region, style)

    memo = Memo(read)
    is_short = style == "e164" and phonenumbers.country_code_for_region(region) == _NORTH_AMERICA
    parse = _shortened(memo) if is_short else memo
    return judged(parse, option_text(options, "invalid", "fault"))


def email(options: Mapping[str, Json]) -> SeriesStep:
    """Write addresses in small letters, without ``mailto:`` and angle brackets; what is none can not be read."""
    return judged(lambda said: by_distinct(said, _emails), option_text(options, "invalid", "fault"))


def judged(read: Callable[[pl.Series], pl.Series], invalid: str) -> SeriesStep:
    """Return a step that does with unreadable texts what ``invalid`` says: fault, keep or null."""

    def step(texts: pl.Series) -> Reading:
        said = spelled(texts)
        value = read(said)
        if invalid == "fault":
            return Reading(value, unread(said, value))
        return Reading(value if invalid == "null" else value.fill_null(said))

    return step


def _shortened(parse: Memo) -> Callable[[pl.Series], pl.Series]:
    """Let Polars read the plain numbers of North America by the library's own patterns, 500 times as fast as it does.

    What these do not fit, the library decides.
    """
    pattern = north_american_numbers()

    def read(said: pl.Series) -> pl.Series:
        digits = said.set(~said.str.contains(_PLAIN_NUMBER), None).str.replace_all("[^0-9]+", "").str.tail(10)
        value = "+1" + digits.set(~digits.str.contains(pattern), None)
        left = unread(said, value)
        return fill(value, left, parse(said.filter(left))) if left.any() else value

    return lambda said: by_distinct(said, read)


@cache
def north_american_numbers() -> str:
    """Return a regular expression of the ten digits of every valid number with the country code 1."""
    metadata = [
        phonenumbers.PhoneMetadata.metadata_for_region(region)
        for region in phonenumbers.COUNTRY_CODE_TO_REGION_CODE[_NORTH_AMERICA]
    ]
    kinds = [getattr(one, kind) for one in metadata for kind in _NUMBER_KINDS]
    patterns = dict.fromkeys(kind.national_number_pattern for kind in kinds if kind and kind.national_number_pattern)
    return f"^(?:{'|'.join(patterns)})$"


def _emails(said: pl.Series) -> pl.Series:
    bare = said.str.to_lowercase().str.strip_prefix("mailto:").str.strip_chars(" <>;,")
    right = bare.str.contains(_EMAIL)
    wrong = ~right & bare.is_not_null()
    if wrong.any():
        right = fill(right, wrong, bare.filter(wrong).str.contains(_EMAIL_ABROAD))
    right &= bare.str.len_bytes() <= _EMAIL_BYTES
    return bare.set(~right, None)


def parse_phone(text: str, region: str, style: str) -> str | None:
    """Return the number as ``style`` has it; None where the text is none that its country has."""
    if len(text) > _PHONE_CHARACTERS:
        return None
    try:
        found = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(found):
        return None
    written = phonenumbers.format_number(found, _FORMATS[style])
    if style == "e164" and found.extension:
        return f"{written};ext={found.extension}"
    return written
