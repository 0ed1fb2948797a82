"""Cron expressions: what Kubernetes takes is taken, the rest is refused in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_core.errors import ConfigError
from pipeline_processing.deployment.cron import MACROS, check_cron


def fault(expression: str) -> str:
    try:
        check_cron(expression)
    except ConfigError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    "expression",
    [
        "* * * * *",
        "15 2 * * *",
        "  0   6 * *  1 ",
        "*/15 0-23/2 1,15 jan-mar,DEC mon-FRI",
        "5/15 ? ? * 0",
        "0 0 29 2 *",
        "0 0 31 1-12 *",
        "0 0 31 2/2 *",
        *MACROS,
    ],
)
def test_what_kubernetes_takes_is_taken(expression: str) -> None:
    assert "" == fault(expression)


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("", "'' has 0 fields; a schedule has 5"),
        ("15 2 * *", "has 4 fields; a schedule has 5 (write minute, hour,"),
        ("0 15 2 * * *", "has 6 fields"),
        ("60 2 * * *", "minute: 60 is not within 0 to 59"),
        ("-1 2 * * *", "minute: '-1' is none"),
        ("+1 2 * * *", "minute: '+1' is none"),
        ("٣ 2 * * *", "minute: '٣' is none"),
        ("0 24 * * *", "hour: 24 is not within 0 to 23"),
        ("0 0 0 * *", "day of the month: 0 is not within 1 to 31"),
        ("0 0 L * *", "day of the month: 'L' is none"),
        ("0 0 * 13 *", "month: 13 is not within 1 to 12"),
        ("0 0 * sept *", "month: 'sept' is none, did you mean sep?"),
        ("0 0 * * 7", "day of the week: 7 is not within 0 to 6: Sunday is 0"),
        ("0 0 * * mon#2", "day of the week: 'mon#2' is none"),
        ("0 0 * * fri-mon", "day of the week: 'fri-mon' ends before it begins"),
        ("*/0 0 * * *", "minute: '*/0' has a step that is no number from 1"),
        ("*/x 0 * * *", "minute: '*/x' has a step that is no number from 1"),
        ("*-5 0 * * *", "minute: '*-5' is no range"),
        ("1,,2 0 * * *", "minute: '1,,2' is none"),
        ("0 0 31 2 *", "names a day that no month has"),
        ("0 0 31 apr,jun *", "names a day that no month has"),
        ("TZ=UTC 15 2 * * *", "the time zone does not stand in the schedule"),
        ("CRON_TZ=UTC 15 2 * * *", "the time zone does not stand in the schedule"),
        ("@every 1h", "@every counts from whenever"),
        ("@reboot", "@reboot is no schedule (there are @hourly, @daily"),
    ],
)
def test_what_it_does_not_take_or_never_starts_is_refused(expression: str, says: str) -> None:
    assert says in fault(expression)


def test_every_field_that_is_wrong_is_named_at_once() -> None:
    assert ["minute", "hour", "month"] == [
        name
        for name in ("minute", "hour", "day of the month", "month", "day of the week")
        if f"{name}:" in fault("60 24 1 13 *")
    ]


def test_a_day_that_no_month_has_is_well_where_a_day_of_the_week_is_another_way_to_be_due() -> None:
    assert "" == fault("0 0 31 2 1")
    assert "names a day that no month has" in fault("0 0 31 2 */2")  # with a `*` both must fit, says the source


_NUMBERS = st.integers(0, 60).map(str)
_PARTS = st.one_of(
    st.just("*"),
    _NUMBERS,
    st.tuples(_NUMBERS, _NUMBERS).map("-".join),
    st.tuples(st.sampled_from(["*", "1", "2-5"]), _NUMBERS).map("/".join),
)


def due(field: str, low: int, high: int) -> set[int] | None:
    """Return what a field names, read in the simplest way; None for what it can not name."""
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, dash, last = (f"{low}-{high}" if span == "*" else span).partition("-")
        begin, every = int(first), int(step) if step else 1
        end = int(last) if dash else high if step else begin
        if not low <= begin <= end <= high or not every:
            return None
        found |= {number for number in range(low, high + 1) if begin <= number <= end and not (number - begin) % every}
    return found


@given(st.lists(_PARTS, min_size=1, max_size=3).map(",".join), st.lists(_PARTS, min_size=1, max_size=3).map(",".join))
def test_a_field_is_taken_just_when_all_that_it_names_is_within_its_bounds(minute: str, hour: str) -> None:
    fits = due(minute, 0, 59) is not None and due(hour, 0, 23) is not None
    assert fits is (fault(f"{minute} {hour} * * *") == "")
