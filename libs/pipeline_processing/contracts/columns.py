"""One column of a contract: its type, limits, values and rules, from the standard's fields and our own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import quote
from zoneinfo import ZoneInfo

from pipeline_processing.contracts.java_formats import strptime_format
from pipeline_processing.contracts.model import Column, Lookup, Step
from pipeline_processing.contracts.schema import INTEGER_FORMATS, STRING_FORMATS
from pipeline_processing.contracts.scope import ours
from pipeline_processing.contracts.types import MOST_DIGITS, can_be_kept, decimal_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from open_data_contract_standard.model import SchemaProperty

    from pipeline_processing.contracts.model import LogicalType
    from pipeline_processing.contracts.scope import Scope
    from pipeline_processing.model import Json

_TEMPORAL: Final = frozenset({"date", "timestamp", "time"})
_EXAMPLES: Final = {"date": "2016-12-31", "timestamp": "2016-12-31T23:59:59", "time": "23:59:59"}
_LIMITS: Final = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_DIRECTIVE: Final = re.compile(r"%(?:[-_0]?[A-Za-z%]|\.?[369]?f|:{0,3}z|#z)")
_REGION: Final = re.compile(r"^[A-Z]{2}$")
_F32: Final = 3.4028234663852886e38


@dataclass(frozen=True, slots=True)
class _Site:
    """A column in its document."""

    scope: Scope
    source: SchemaProperty
    custom: Mapping[str, Json]

    @property
    def place(self) -> str:
        return self.scope.column_place(self.source.name or "")

    @property
    def kind(self) -> LogicalType:
        return cast("LogicalType", self.source.logicalType)

    def fault(self, field: str, what: str, way_out: str = "") -> None:
        self.scope.faults.add(f"{self.place}.{field}", what, way_out)


def column_of(source: SchemaProperty, scope: Scope) -> Column:
    """Return the column as far as it is sound; what is not goes to the scope's faults."""
    site = _Site(scope, source, ours(source.customProperties))
    options = source.logicalTypeOptions or {}
    limits = _limits(site, options)
    derive, lookup = site.custom.get("derive"), _lookup(site)
    return Column(
        name=source.name or "",
        logical_type=site.kind,
        description=source.description or "",
        physical_type=_physical_type(site),
        required=bool(source.required),
        unique=bool(source.unique),
        primary_key_position=_position(site, "primaryKey", "primaryKeyPosition"),
        partition_position=_partition(site),
        classification=(source.classification or "").strip().lower() or None,
        protection=_protection(site),
        sources=_sources(site, is_made=bool(derive or lookup)),
        normalise=_steps(site, options),
        derive=derive,
        lookup=lookup,
        enum=(enum := _enum(site)),
        synonyms=_synonyms(site, enum),
        pattern=_pattern(site, options),
        min_length=options.get("minLength"),
        max_length=options.get("maxLength"),
        minimum=limits["minimum"],
        maximum=limits["maximum"],
        exclusive_minimum=limits["exclusiveMinimum"],
        exclusive_maximum=limits["exclusiveMaximum"],
        multiple_of=options.get("multipleOf"),
        timezone=_timezone(site, options),
        examples=tuple(source.examples or ()),
    )


def _position(site: _Site, flag: str, field: str) -> int | None:
    is_set, position = getattr(site.source, flag), getattr(site.source, field)
    if position is not None and position != -1:
        if not is_set:
            site.fault(field, f"the column is not {flag}", f"{flag}: true, or leave the position out")
        elif position < 1:
            site.fault(field, f"{position} is not a position", "positions start from 1")
    if not is_set:
        return None
    return position if position is not None and position > 0 else 1


def _physical_type(site: _Site) -> str | None:
    physical = site.source.physicalType
    decimal = decimal_of(physical)
    if decimal and site.kind == "number" and not can_be_kept(*decimal):
        way_out = f"precision from 1 to {MOST_DIGITS}, scale at most the precision"
        site.fault("physicalType", f"{physical} can not be kept", way_out)
    return physical


def _partition(site: _Site) -> int | None:
    name = site.source.name or ""
    if site.source.partitioned and quote(name, safe="") != name:
        what = "in folder names readers do not find a name with other characters than A-Z a-z 0-9 _ - . ~"
        site.fault("partitioned", what, "rename the column, and give its header in sources; or partition by another")
    return _position(site, "partitioned", "partitionKeyPosition")


def _protection(site: _Site) -> Json:
    protection = site.custom.get("protect")
    if protection and site.source.partitioned:
        site.fault("customProperties.protect", "a partition column stands in folder names", "partition by another")
    elif site.source.partitioned and (site.source.classification or "public").strip().lower() != "public":
        site.fault("partitioned", "a classified column's values would stand in folder names", "partition by another")
    return protection


def _sources(site: _Site, *, is_made: bool) -> tuple[str, ...]:
    given = site.custom.get("sources")
    made = [name for name in ("derive", "lookup") if name in site.custom]
    if len(made) > 1:
        site.fault("customProperties", "derive and lookup are both given", "a column comes from one of them")
    if is_made:
        if given:
            site.fault("customProperties.sources", f"a column with {made[0]} has no sources", f"sources or {made[0]}")
        if site.custom.get("normalise"):
            site.fault("customProperties.normalise", f"normalisers read sources; this column has {made[0]}")
        return ()
    names = given or [site.source.name, site.source.physicalName]
    return tuple(dict.fromkeys(name for name in names if name))


def _steps(site: _Site, options: Mapping[str, Json]) -> tuple[Step, ...]:
    steps: list[Step] = []
    for item in site.custom.get("normalise", ()):
        name, settings = (item, {}) if isinstance(item, str) else next(iter(item.items()))
        steps.append(Step(name, settings))
    for number, step in enumerate(steps, 1):
        _check_step(site, number, step)
    java = options.get("format")
    if java is None or site.kind not in _TEMPORAL:
        return tuple(steps)
    told = strptime_format(java)
    if told is None:
        way_out = (
            "letters y M d H h m s S a, such as MM/dd/yyyy; or customProperties normalise with date: {formats: […]}"
        )
        site.fault("logicalTypeOptions.format", f"{java} is not a format that we read", way_out)
    elif not any(step.name == site.kind for step in steps) and not ("derive" in site.custom or "lookup" in site.custom):
        steps.append(Step(site.kind, {"formats": [told]}))
    return tuple(steps)


def _check_step(site: _Site, number: int, step: Step) -> None:
    place = f"customProperties.normalise.{number}.{step.name}"
    if step.name == "replace" and not step.options.get("literal"):
        _check_regex(site, f"{place}.pattern", step.options.get("pattern"))
    if step.name == "replace" and ("pattern" in step.options) == ("values" in step.options):
        site.fault(place, "replace takes pattern and with, or values", "one of the two")
    for form in step.options.get("formats", ()):
        if "%" not in form or "%" in _DIRECTIVE.sub("", form):
            site.fault(f"{place}.formats", f"{form!r} is no format", "write one like %m/%d/%Y")
    if not _REGION.match(step.options.get("region", "US")):
        site.fault(f"{place}.region", f"{step.options['region']!r} is no region", "two capitals, such as US")
    if "timezone" in step.options:
        _check_zone(site, f"{place}.timezone", step.options["timezone"])


def _check_regex(site: _Site, field: str, pattern: Json) -> None:
    if isinstance(pattern, str):
        fault = regex_fault(pattern)
        if fault:
            site.fault(
                field, fault, "regular expressions are those of Rust's regex: no look-around, no back-references"
            )


def regex_fault(pattern: str) -> str | None:
    """Say why the engine can not use the pattern; None where it can."""
    import polars as pl  # noqa: PLC0415 - the engine is asked only where there is a pattern

    try:
        pl.Series([""]).str.contains(pattern)
    except pl.exceptions.ComputeError as error:
        why = next((line for line in str(error).splitlines() if line.startswith("error: ")), str(error))
        return f"the pattern is not valid: {why.removeprefix('error: ')}"
    return None


def _lookup(site: _Site) -> Lookup | None:
    given = site.custom.get("lookup")
    if given is None:
        return None
    site.scope.known(f"{site.place}.customProperties.lookup.on", given["on"])
    if site.source.name in given["on"]:
        site.fault("customProperties.lookup.on", "the column can not be looked up by itself")
    return Lookup(given["reference"], dict(given["on"]), given["take"])


def _enum(site: _Site) -> tuple[str, ...]:
    values = [one.value for one in site.source.enum or ()]
    if values and site.kind not in {"string", "integer"}:
        site.fault("enum", f"values of a column of type {site.kind} are not listed", "use limits, or a row rule")
    return enum_texts(site.scope, f"{site.place}.enum", site.kind, values)


def enum_texts(scope: Scope, place: str, kind: str, values: Sequence[Json]) -> tuple[str, ...]:
    """Return the allowed values as texts; they must be of the column's type, each once."""
    wanted = str if kind == "string" else int
    for value in values:
        if not isinstance(value, wanted) or isinstance(value, bool):
            way_out = f'quote it: "{value}"' if kind == "string" else "a whole number"
            scope.faults.add(place, f"{value!r} is not a value of a column of type {kind}", way_out)
    texts = [str(value) for value in values]
    for text in sorted({text for text in texts if texts.count(text) > 1}):
        scope.faults.add(place, f"{text!r} stands twice")
    return tuple(texts)


def _synonyms(site: _Site, enum: tuple[str, ...]) -> Mapping[str, str]:
    """Return other spellings, case-folded, each with its value. Whether the values exist is checked with the enum."""
    found: dict[str, str] = {}
    for value, spellings in site.custom.get("valueSynonyms", {}).items():
        for spelling in spellings:
            folded = spelling.casefold()
            if found.get(folded, value) != value:
                site.fault("customProperties.valueSynonyms", f"{spelling!r} stands for two values")
            elif folded != value.casefold() and spelling in enum:
                site.fault("customProperties.valueSynonyms", f"{spelling!r} is an allowed value itself")
            found[folded] = value
    return found


def _pattern(site: _Site, options: Mapping[str, Json]) -> str | None:
    if site.kind != "string":
        return None
    pattern, named = options.get("pattern"), options.get("format")
    if pattern and named:
        site.fault("logicalTypeOptions.format", "pattern and format are both given", "one of them")
    _check_regex(site, "logicalTypeOptions.pattern", pattern)
    minimum, maximum = options.get("minLength"), options.get("maxLength")
    if minimum is not None and maximum is not None and minimum > maximum:
        site.fault("logicalTypeOptions.minLength", f"{minimum} is more than maxLength {maximum}")
    return pattern or (STRING_FORMATS[named] if named else None)


def _timezone(site: _Site, options: Mapping[str, Json]) -> str | None:
    zone = options.get("defaultTimezone")
    if zone is not None:
        _check_zone(site, "logicalTypeOptions.defaultTimezone", zone)
    if options.get("timezone") is False:
        return None
    return zone or ("UTC" if options.get("timezone") else None)


def _check_zone(site: _Site, field: str, name: Json) -> None:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, LookupError, TypeError):
        site.fault(field, f"there is no time zone {name!r}", "a name such as America/Chicago")


def _limits(site: _Site, options: Mapping[str, Json]) -> dict[str, Json]:
    limits: dict[str, Json] = {}
    for name in _LIMITS:
        value = options.get(name)
        limits[name] = _moment(site, name, value) if value is not None and site.kind in _TEMPORAL else value
    width = options.get("format")
    if site.kind == "integer" and width:
        low, high = INTEGER_FORMATS[width]
        limits["minimum"] = _tighter(limits["minimum"], low, max)
        limits["maximum"] = _tighter(limits["maximum"], high, min)
    if site.kind == "number" and width == "f32":
        limits["minimum"] = _tighter(limits["minimum"], -_F32, max)
        limits["maximum"] = _tighter(limits["maximum"], _F32, min)
    low, high = limits["minimum"], limits["maximum"]
    if low is not None and high is not None and low > high:
        site.fault("logicalTypeOptions.minimum", f"{low} is more than maximum {high}")
    return limits


def _tighter(given: Json, implied: Json, pick: Json) -> Json:
    return given if implied is None else implied if given is None else pick(given, implied)


def _moment(site: _Site, name: str, value: str) -> str | None:
    """Return the limit in ISO 8601: as it stands, or written in the column's own format."""
    java = (site.source.logicalTypeOptions or {}).get("format")
    told = strptime_format(java) if java else None
    try:
        return _iso(site.kind, value, (told or "").replace("%3f", "%f").replace("%6f", "%f"))
    except ValueError:
        what = f"{value!r} is not a {site.kind}"
        site.fault(f"logicalTypeOptions.{name}", what, f"ISO 8601, such as {_EXAMPLES[site.kind]}")
        return None


def _iso(kind: str, value: str, told: str) -> str:
    try:
        if kind == "date":
            return date.fromisoformat(value).isoformat()
        return (time if kind == "time" else datetime).fromisoformat(value).isoformat()
    except ValueError:
        moment = datetime.strptime(value, told)  # noqa: DTZ007 - a limit as it stands
    if kind == "date":
        return moment.date().isoformat()
    return (moment.time() if kind == "time" else moment).isoformat()
