"""Dates, timestamps and times of day: in the formats that a contract names, in that order."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_core.errors import ConfigError
from one_column import FAULT, column, planned, read

if TYPE_CHECKING:
    from pipeline_processing.model import Json

DATE = column(kind="date")
US = column("date", "date", order="MDY")
STAMP = column(kind="timestamp")


@pytest.mark.parametrize(
    "text",
    [
        "2005-09-26",
        " 2005-09-26 ",
        "2005/09/26",
        "20050926",
        "26-Sep-2005",
        "26 SEPTEMBER 2005",
        "September 26, 2005",
        "sep 26 2005",
        "Sep. 26, 2005",
        "26-SEP-05",
        "2005-09-26T00:00:00",
        "2005-09-26 00:00:00.000",
        "2005-09-26T00:00:00Z",
    ],
)
def test_a_date_that_nobody_can_mistake_needs_no_format(text: str) -> None:
    assert [date(2005, 9, 26)] == read(DATE, text)


@pytest.mark.parametrize(
    "text", ["09/26/2005", "1/2/2005", "2005-02-30", "2005-09-26T13:00:00", "2020112", "36526", "x"]
)
def test_what_can_be_mistaken_or_is_no_date_is_a_fault(text: str) -> None:
    assert [FAULT] == read(DATE, text)


@pytest.mark.parametrize(("order", "expected"), [("MDY", date(2005, 2, 1)), ("DMY", date(2005, 1, 2)), ("YMD", FAULT)])
def test_the_order_decides_which_is_the_month(order: str, expected: Json) -> None:
    assert [expected] == read(column("date", "date", order=order), "02/01/2005")


def test_an_order_stands_for_customary_formats() -> None:
    texts = ("1/2/2005", "01-02-2005", "01.02.2005", "1/2/05", "1-2-05", "01022005", "2005-01-02")
    assert [date(2005, 1, 2)] * 7 == read(US, *texts)
    assert [date(2005, 1, 2)] * 3 == read(column("date", "date", order="YMD"), "05-01-02", "050102", "2005.01.02")


@pytest.mark.parametrize("order", ["MDY", "DMY"])
def test_eight_digits_that_begin_with_a_year_are_of_that_year(order: str) -> None:
    assert [date(2005, 10, 26)] == read(column("date", "date", order=order), "20051026")


def test_formats_are_tried_in_their_order_and_no_others() -> None:
    one = column("date", "date", formats=["%d/%m/%Y", "%m/%d/%Y"])
    assert [date(2005, 2, 1), date(2005, 1, 31), date(2005, 1, 2), FAULT] == read(
        one, "01/02/2005", "01/31/2005", "2005-01-02", "2-Jan-2005"
    )


def test_a_date_leaves_out_the_time_that_its_own_format_reads() -> None:
    one = column("date", "date", formats=["%m/%d/%Y %H:%M", "%m/%d/%y %I:%M %p"])
    assert [date(2005, 1, 2), date(2005, 1, 2), FAULT] == read(one, "01/02/2005 23:30", "1/2/05 3:04 PM", "x")


def test_a_strict_column_does_not_take_iso_dates_by_itself() -> None:
    assert [FAULT, date(2005, 1, 2)] == read(
        column("date", "date", formats=["%m/%d/%Y"], strict=True), "2005-01-02", "1/2/2005"
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [1969, 2068, 2000]),
        ({"pivot": 17}, [1969, 1968, 2000]),
        ({"max_year": 2017}, [1969, 1968, 2000]),
        ({"max_year": 1999}, [1969, 1968, 1900]),
        ({"max_year": 2017, "pivot": 50}, [1969, 1968, 2000]),
    ],
)
def test_a_year_of_two_digits_is_of_the_hundred_that_the_rule_closes(options: Json, expected: list[int]) -> None:
    one = column("date", "date", order="MDY", **options)
    assert expected == [value.year for value in read(one, "1/2/69", "1/2/68", "1/2/00")]


def test_a_leap_day_that_the_century_does_not_have_is_a_fault() -> None:
    assert [date(2000, 2, 29)] == read(US, "2/29/00")
    assert [FAULT] == read(column("date", "date", order="MDY", max_year=1999), "2/29/00")


@settings(deadline=None)
@given(
    st.dates(date(1300, 1, 1), date(9999, 12, 30)),
    st.sampled_from(["%m/%d/%Y", "%Y-%m-%d", "%d-%b-%Y", "%Y%m%d", "%B %d, %Y", "%m.%d.%Y"]),
)
def test_every_day_reads_back_from_every_format(day: date, form: str) -> None:
    text = day.strftime(form.replace("%Y", f"{day.year:04d}"))
    assert [day] == read(US, text)


@pytest.mark.parametrize(
    "text", ["0000-00-00", "00/00/0000", "00000000", "0000-00-00 00:00:00", "9999-12-31", "12/31/9999"]
)
@pytest.mark.parametrize(("handling", "expected"), [(None, FAULT), ("fault", FAULT), ("null", None)])
def test_dates_that_stand_for_none_are_faults_unless_the_contract_makes_them_null(
    text: str, handling: str | None, expected: Json
) -> None:
    options = {"sentinels": handling} if handling else {}
    assert [expected] == read(column("date", "date", order="MDY", **options), text)


def test_the_last_day_can_be_kept() -> None:
    assert [date(9999, 12, 31), FAULT] == read(column("date", "date", sentinels="keep"), "9999-12-31", "0000-00-00")


def test_only_what_stands_for_no_date_is_null_beside_it() -> None:
    assert [FAULT, None, date(9999, 12, 30)] == read(
        column("date", "date", sentinels="null"), "soon", "9999-12-31", "9999-12-30"
    )


def test_the_serial_numbers_of_excel_are_dates_where_the_contract_says_so() -> None:
    one = column("date", "date", excel=True)
    assert [date(1900, 1, 1), date(1900, 2, 28), FAULT, date(1900, 3, 1), date(2000, 1, 1), date(2000, 1, 1)] == read(
        one, "1", "59", "60", "61", "36526", "36526.75"
    )
    assert [FAULT, FAULT, date(9999, 12, 30)] == read(one, "0", "2958466", "2958464")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2020-01-02T03:04:05", datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2020-01-02 03:04:05.678901", datetime(2020, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)),
        ("2020-01-02T03:04:05Z", datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2020-01-02T03:04:05+02:00", datetime(2020, 1, 2, 1, 4, 5, tzinfo=UTC)),
        ("2020-01-02T03:04:05.5-0600", datetime(2020, 1, 2, 9, 4, 5, 500000, tzinfo=UTC)),
        ("2020-01-02 03:04", datetime(2020, 1, 2, 3, 4, tzinfo=UTC)),
        ("2020-01-02", datetime(2020, 1, 2, tzinfo=UTC)),
        ("2020-01-02T25:00:00", FAULT),
        ("1/2/2020 3:04 PM", FAULT),
        ("0000-00-00 00:00:00", FAULT),
        ("", None),
    ],
)
def test_timestamps_are_of_iso_8601_and_come_out_in_utc(text: str, expected: Json) -> None:
    assert [expected] == read(STAMP, text)


def test_a_timestamp_without_an_offset_is_of_the_columns_zone() -> None:
    chicago = column("timestamp", "timestamp", order="MDY", timezone="America/Chicago")
    assert [
        datetime(2020, 1, 2, 21, 4, tzinfo=UTC),
        datetime(2020, 7, 2, 20, 4, tzinfo=UTC),
        datetime(2020, 1, 2, 15, 4, tzinfo=UTC),
    ] == read(chicago, "1/2/2020 3:04 PM", "7/2/2020 15:04", "2020-01-02T15:04Z")
    assert [datetime(2020, 1, 2, 6, tzinfo=UTC)] == read(replace(STAMP, timezone="America/Chicago"), "2020-01-02")


def test_an_hour_that_comes_twice_is_the_earlier_and_one_that_never_was_is_a_fault() -> None:
    chicago = column("timestamp", "timestamp", timezone="America/Chicago")
    assert [datetime(2020, 11, 1, 6, 30, tzinfo=UTC), FAULT] == read(chicago, "2020-11-01T01:30", "2020-03-08T02:30")


def test_a_timestamp_in_the_contracts_own_format() -> None:
    one = column("timestamp", "timestamp", formats=["%d.%m.%Y %H:%M:%S %z", "%d.%m.%y"])
    assert [datetime(2020, 1, 2, 1, 4, 5, tzinfo=UTC), datetime(1999, 1, 2, tzinfo=UTC)] == read(
        one, "02.01.2020 03:04:05 +0200", "02.01.99"
    )


def test_the_serial_numbers_of_excel_have_a_time_of_day() -> None:
    one = column("timestamp", "timestamp", excel=True, timezone="America/Chicago")
    assert [datetime(2000, 1, 1, 18, tzinfo=UTC)] == read(one, "36526.5")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("13:05", time(13, 5)),
        ("13:05:09.5", time(13, 5, 9, 500000)),
        ("1:05 pm", time(13, 5)),
        ("1:05PM", time(13, 5)),
        ("1305", time(13, 5)),
        ("24:00", FAULT),
        ("noon", FAULT),
    ],
)
def test_a_time_of_day(text: str, expected: Json) -> None:
    assert [expected] == read(column(kind="time"), text)


def test_a_date_in_a_text_column_is_written_in_iso_8601() -> None:
    assert ["2005-01-02"] == read(column("date", order="MDY"), "1/2/2005")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"formats": ["MM/dd/yyyy"]}, "no date format"),
        ({"formats": ["%m/%d/%!"]}, "no date format"),
        ({"order": "YDM"}, "one of MDY"),
        ({"format": ["%m"]}, "no option 'format'"),
        ({"pivot": "70"}, "whole number"),
    ],
)
def test_an_option_that_is_none_is_refused_by_name(options: Json, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        planned(column("date", "date", **options))


@pytest.mark.parametrize("zone", ["Mars/Olympus", ""])
def test_a_time_zone_that_is_none_is_refused(zone: str) -> None:
    with pytest.raises(ConfigError, match=f"'{zone}' is no time zone"):
        planned(column("timestamp", "timestamp", timezone=zone))


@pytest.mark.parametrize("zone", ["America/Chicago", "Asia/Tokyo"])
@pytest.mark.parametrize("text", ["9999-12-31 23:59:59", "9999-12-31", "9999-12-31T00:00"])
def test_the_last_day_is_that_of_the_columns_zone(text: str, zone: str) -> None:
    assert [FAULT] == read(column("timestamp", "timestamp", timezone=zone), text)
    assert [None] == read(column("timestamp", "timestamp", timezone=zone, sentinels="null"), text)


def test_a_moment_beyond_the_last_year_is_a_fault_even_where_the_last_day_is_kept() -> None:
    kept = column("timestamp", "timestamp", timezone="America/Chicago", sentinels="keep")
    assert [FAULT, datetime(9999, 12, 31, 23, tzinfo=UTC)] == read(kept, "9999-12-31 18:00", "9999-12-31 17:00")
