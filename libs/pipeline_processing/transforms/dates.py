"""Dates, timestamps and times of day out of text, in the formats a contract names and in no other."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import polars as pl

from etl_core.errors import ConfigError
from pipeline_processing.transforms import calendar_formats as formats
from pipeline_processing.transforms.reading import Reading, fill, option_text, option_texts, spelled, unread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pipeline_processing.model import Json
    from pipeline_processing.transforms.reading import SeriesStep

    Parser = Callable[[pl.Series], pl.Series]

# chrono reads %Y from fewer digits too: without the bounds 1/2/20 would be of the year 20.
_FIRST: Final = 1000
_LAST: Final = 9999
_ZEROS: Final = r"^(?:0{1,4}[-/.]?0{1,2}[-/.]?0{1,4})(?:[T ]00:00(?::00)?(?:\.0+)?)?$"
_NEVER: Final = r"^(?:9999[-/.]?12[-/.]?31|12[-/.]?31[-/.]?9999|31[-/.]?12[-/.]?9999|99999999)(?:[T ].*)?$"
_MIDNIGHT: Final = r"[T ]00:00(?::00(?:\.0+)?)?(?:Z|[+-]00:?00)?$"
_SERIAL: Final = r"^[0-9]{1,7}(?:\.[0-9]+)?$"
_LEAP_BUG: Final = 60
"""Excel's serial of 29 February 1900, a day that never was; what comes before it counts from a day later."""
_EXCEL_LAST: Final = 2_958_465
_DAY: Final = 86_400_000_000

_ISO_BEGINS: Final = "^[0-9]{4}-"
_ISO_CLOCKS: Final = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M")
_ISO_OFFSETS: Final = ("%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M%#z")


def read_dates(options: Mapping[str, Json]) -> SeriesStep:
    """Read dates. ISO 8601 is tried last, a time of midnight after it allowed; a time of another hour is a fault."""
    tried = formats.date_formats(options)
    parsers: list[Parser] = [partial(_dates, form=form, end=formats.century_end(options)) for form in tried]
    if options.get("excel"):
        parsers.append(_serial_dates)
    if formats.ISO in tried:
        parsers.append(_midnights)
    return _stepping(parsers, pl.Date(), option_text(options, "sentinels", "fault"))


def read_timestamps(options: Mapping[str, Json]) -> SeriesStep:
    """Read timestamps into UTC; those without an offset are of ``timezone`` (UTC).

    A local time that comes twice when clocks are set back is the earlier one; one that never was is a fault.
    """
    zone = option_text(options, "timezone", "UTC")
    _check_zone(zone)
    end = formats.century_end(options)
    own = formats.timestamp_formats(options)
    iso = [] if options.get("strict") and option_texts(options, "formats") else [partial(_iso, zone=zone)]
    rest = [partial(_stamps, form=form, zone=zone, end=end) for form in own]
    # A contract's own formats go first; else ISO does, which is most common and can not be mistaken.
    parsers: list[Parser] = [*rest, *iso] if option_texts(options, "formats") else [*iso, *rest]
    if options.get("excel"):
        parsers.append(partial(_serial_stamps, zone=zone))
    return _stepping(parsers, pl.Datetime("us", "UTC"), option_text(options, "sentinels", "fault"), zone=zone)


def _check_zone(zone: str) -> None:
    """Ask the engine, which brings its own tz database; the machine may have none."""
    wrong = ConfigError(f"{zone!r} is no time zone", way_out="write one like America/Chicago")
    if not zone:
        raise wrong
    try:
        pl.Series([None], dtype=pl.Datetime("us")).dt.replace_time_zone(zone)
    except pl.exceptions.PolarsError as error:
        raise wrong from error


def read_times(options: Mapping[str, Json]) -> SeriesStep:
    """Read times of day; 24-hour ones with or without seconds, 12-hour ones with AM or PM, or the ``formats`` given."""
    own = option_texts(options, "formats")
    formats.check(own)
    parsers = [partial(_times, form=form) for form in own or formats.CLOCKS]
    return _stepping(parsers, pl.Time(), "keep")


def _stepping(parsers: Iterable[Parser], dtype: pl.DataType, sentinels: str, *, zone: str = "UTC") -> SeriesStep:
    """Try one parser after the other, each on what none before it could read."""
    first, *others = parsers

    def step(texts: pl.Series) -> Reading:
        value = first(texts)
        left = unread(texts, value)
        if left.any():
            rest = texts.filter(left)
            said = spelled(rest)
            again = [] if said.equals(rest) else [first]
            value = fill(value, left, _read(said, [*again, *others], dtype))
            left = unread(texts, value)
        if sentinels != "keep":
            value = _without_never(value)
            if zone != "UTC":
                value = value.set(_without_never(value.dt.convert_time_zone(zone)).is_null(), None)
        return _settle(texts, value, sentinels)

    return step


def _read(texts: pl.Series, parsers: Iterable[Parser], dtype: pl.DataType) -> pl.Series:
    value = pl.repeat(None, len(texts), dtype=dtype, eager=True)
    left = texts.is_not_null()
    for parse in parsers:
        if not left.any():
            break
        value = fill(value, left, parse(texts.filter(left)))
        left = unread(texts, value)
    return value


def _settle(texts: pl.Series, value: pl.Series, sentinels: str) -> Reading:
    fault = unread(texts, value)
    if fault.any():
        rest = spelled(texts.filter(fault))
        bad = rest.is_not_null()
        if sentinels == "null":
            bad &= ~(rest.str.contains(_ZEROS) | rest.str.contains(_NEVER)).fill_null(False)  # noqa: FBT003 - the value to fill in
        fault = fill(fault, fault, bad)
    return Reading(value, fault)


def _without_never(value: pl.Series) -> pl.Series:
    """Take 9999-12-31 out: it says *no end*, and would poison every difference and maximum if it were a date."""
    if value.dtype == pl.Time:
        return value
    last = value.dt.year() == _LAST
    return value.set(last & (value.dt.ordinal_day() == 365), None) if last.any() else value  # noqa: PLR2004 - the last day


def _dates(texts: pl.Series, *, form: str, end: int) -> pl.Series:
    texts = _of_digits(texts, form)
    if formats.has_clock(form):
        value = texts.str.to_datetime(form, time_unit="us", strict=False, cache=False)
        value = value.dt.date()
    else:
        value = texts.str.to_date(form, strict=False, cache=False)
    return _in_century(value, end) if formats.has_short_year(form) else _in_bounds(value)


def _of_digits(texts: pl.Series, form: str) -> pl.Series:
    shape = formats.digit_runs(form)
    return texts if shape is None else texts.set(~texts.str.contains(shape), None)


def _in_bounds(value: pl.Series) -> pl.Series:
    year = value.dt.year()
    outside = (year < _FIRST) | (year > _LAST)
    return value.set(outside, None) if outside.any() else value


def _in_century(value: pl.Series, end: int) -> pl.Series:
    """Put years of two digits into the hundred years that ``end`` closes."""
    year = value.dt.year().cast(pl.Int32)
    shifts = (end - ((end - year) % 100)) - year
    for shift in shifts.unique().drop_nulls().sort():
        if shift:
            at = (shifts == shift).fill_null(False)  # noqa: FBT003 - the value to fill in
            before = value.filter(at)
            moved = before.dt.offset_by(f"{shift}y")
            # 29 February moved into a year without one is no date at all.
            value = fill(value, at, moved.set(moved.dt.day() != before.dt.day(), None))
    return value


def _midnights(texts: pl.Series) -> pl.Series:
    at_midnight = texts.str.contains(_MIDNIGHT)
    days = texts.set(~at_midnight, None).str.slice(0, 10)
    return _in_bounds(days.str.to_date(formats.ISO, strict=False, cache=False))


def _serial_days(texts: pl.Series) -> pl.Series:
    days = texts.set(~texts.str.contains(_SERIAL), None).cast(pl.Float64, strict=False)
    whole = days.floor()
    days = days.set((whole < 1) | (whole == _LEAP_BUG) | (whole > _EXCEL_LAST), None)
    return days - 25_569 + (days < _LEAP_BUG).cast(pl.Float64)


def _serial_dates(texts: pl.Series) -> pl.Series:
    return _serial_days(texts).floor().cast(pl.Int32).cast(pl.Date)


def _serial_stamps(texts: pl.Series, *, zone: str) -> pl.Series:
    # Excel keeps times as fractions of a day: to the second is what they hold.
    seconds = (_serial_days(texts) * (_DAY // 1_000_000)).round()
    return _zoned((seconds.cast(pl.Int64) * 1_000_000).cast(pl.Datetime("us")), zone)


def _stamps(texts: pl.Series, *, form: str, zone: str, end: int) -> pl.Series:
    if not formats.has_clock(form):
        return _zoned(_dates(texts, form=form, end=end).cast(pl.Datetime("us")), zone)
    value = _of_digits(texts, form).str.to_datetime(form, time_unit="us", strict=False, cache=False)
    if formats.has_offset(form):
        value = value.dt.convert_time_zone("UTC")
    value = _in_century(value, end) if formats.has_short_year(form) else _in_bounds(value)
    return value if formats.has_offset(form) else _zoned(value, zone)


def _iso(texts: pl.Series, *, zone: str) -> pl.Series:
    """Read ISO 8601 and RFC 3339: a ``T`` or a space between, an offset or none, a date alone (midnight)."""
    # What does not begin like it is left to other formats at once; a blank may stand for the T.
    bare = texts.set(~texts.str.contains(_ISO_BEGINS), None)
    spaced = bare.str.contains(" ", literal=True)
    joined = bare.str.replace(" +", "T") if spaced.any() else bare
    parsers = [
        *(partial(_stamps, form=form, zone=zone, end=0) for form in _ISO_CLOCKS),
        *(partial(_stamps, form=form, zone=zone, end=0) for form in _ISO_OFFSETS),
        partial(_stamps, form=formats.ISO, zone=zone, end=0),
    ]
    return _read(joined, parsers, pl.Datetime("us", "UTC"))


def _zoned(value: pl.Series, zone: str) -> pl.Series:
    local = value.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    moment = local if zone == "UTC" else local.dt.convert_time_zone("UTC")
    beyond = moment.dt.year() > _LAST  # the last evening of 9999, west of Greenwich: Python has no such year
    return moment.set(beyond, None) if beyond.any() else moment


def _times(texts: pl.Series, *, form: str) -> pl.Series:
    return _of_digits(texts, form).str.to_time(form, strict=False, cache=False)
