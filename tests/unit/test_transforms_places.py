"""Telephone numbers, e-mail addresses, states, street addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_core.errors import ConfigError
from one_column import FAULT, column, planned, read
from pipeline_processing.transforms.contacts import parse_phone
from pipeline_processing.transforms.places import standard_address
from pipeline_processing.transforms.postal import STATES

if TYPE_CHECKING:
    from pipeline_processing.model import Json


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(312) 744-5000", "+13127445000"),
        ("312.744.5000", "+13127445000"),
        ("1-312-744-5000", "+13127445000"),
        ("+44 20 7946 0958", "+442079460958"),
        ("312-744-5000 x12", "+13127445000;ext=12"),
        ("744-5000", FAULT),
        ("111-111-1111", FAULT),
        ("unlisted", FAULT),
        ("3" * 100, FAULT),
        (" ", None),
        (None, None),
    ],
)
def test_a_telephone_number(text: str | None, expected: Json) -> None:
    assert [expected] == read(column("phone"), text)


def test_a_telephone_number_of_another_region_or_format() -> None:
    assert ["+442079460958"] == read(column("phone", region="gb"), "020 7946 0958")
    assert ["(312) 744-5000"] == read(column("phone", format="national"), "+13127445000")
    assert ["+1 312-744-5000"] == read(column("phone", format="international"), "3127445000")
    with pytest.raises(ConfigError, match="XX"):
        planned(column("phone", region="xx"))


@settings(deadline=None)
@given(
    st.from_regex(r"[2-9][0-9]{2}", fullmatch=True),
    st.from_regex(r"[0-9]{3}", fullmatch=True),
    st.from_regex(r"[0-9]{4}", fullmatch=True),
    st.sampled_from(["({}) {}-{}", "{}{}{}", "1-{}-{}-{}", "+1 {} {} {}", "{}.{}.{}", "{}-{}-{} x1", "{}-{}{}"]),
)
def test_the_short_way_for_north_america_gives_what_the_library_gives(
    area: str, exchange: str, line: str, spelling: str
) -> None:
    text = spelling.format(area, exchange, line)
    assert [parse_phone(text, "US", "e164") or FAULT] == read(column("phone"), text)


def test_a_telephone_number_twice_is_the_same_as_once() -> None:
    [once] = read(column("phone"), "312-744-5000 ext. 12")
    assert [once] == read(column("phone"), once)


@pytest.mark.parametrize(("invalid", "expected"), [("fault", FAULT), ("keep", "unlisted"), ("null", None)])
@pytest.mark.parametrize("step", ["phone", "email", "us_state"])
def test_a_contract_says_what_becomes_of_what_can_not_be_read(step: str, invalid: str, expected: Json) -> None:
    assert [expected, None] == read(column(step, invalid=invalid), " unlisted ", " ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" Jo.Smith+x@Example.ORG ", "jo.smith+x@example.org"),
        ("mailto:jo@example.org", "jo@example.org"),
        ("<jo@example.org>", "jo@example.org"),
        ("jo@m\u00fcnchen.de", "jo@m\u00fcnchen.de"),
        ("jo@example", FAULT),
        ("jo@@example.org", FAULT),
        (".jo@example.org", FAULT),
        ("jo smith@example.org", FAULT),
        ("jo@-example.org", FAULT),
        ("j" * 250 + "@example.org", FAULT),
        ("", None),
    ],
)
def test_an_email_address(text: str, expected: Json) -> None:
    assert [expected] == read(column("email"), text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("il", "IL"),
        ("Illinois", "IL"),
        ("ILL.", "IL"),
        ("new  york", "NY"),
        ("N.Y.", "NY"),
        ("Calif.", "CA"),
        ("W. Va.", "WV"),
        ("District of Columbia", "DC"),
        ("Puerto Rico", "PR"),
        ("XX", FAULT),
        ("60601", FAULT),
        ("", None),
    ],
)
def test_a_state(text: str, expected: Json) -> None:
    assert [expected] == read(column("us_state"), text)


@pytest.mark.parametrize("code", STATES)
def test_a_states_name_is_read_and_written(code: str) -> None:
    assert [code] == read(column("us_state"), STATES[code])
    assert [STATES[code]] == read(column("us_state", to="name"), code.lower())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("120 North Michigan Avenue", "120 N MICHIGAN AVE"),
        ("120 N. Michigan Ave., Apartment 4", "120 N MICHIGAN AVE APT 4"),
        ("120 n michigan ave #4b", "120 N MICHIGAN AVE # 4B"),
        ("120 N MICHIGAN AVE APT #4", "120 N MICHIGAN AVE APT 4"),
        ("1600 Pennsylvania Avenue Northwest", "1600 PENNSYLVANIA AVE NW"),
        ("12 North Avenue", "12 NORTH AVE"),
        ("12 Avenue B", "12 AVENUE B"),
        ("12 Court Street", "12 COURT ST"),
        ("12 St. Charles Street", "12 ST CHARLES ST"),
        ("100 West Pier Street", "100 W PIER ST"),
        ("1 Main", "1 MAIN"),
        ("350 Fifth Avenue Floor 34", "350 FIFTH AVE FL 34"),
        ("350 Fifth Avenue Penthouse", "350 FIFTH AVE PH"),
        ("P.O. Box 12", "PO BOX 12"),
        ("post office box 12", "PO BOX 12"),
        ("12 1/2 Elm Boulevard", "12 1/2 ELM BLVD"),
        ("  ", None),
    ],
)
def test_a_street_address_is_written_as_publication_28_has_it(text: str, expected: str | None) -> None:
    assert [expected] == read(column("us_address"), text)


def test_a_street_address_can_be_written_for_people() -> None:
    assert ["120 N Michigan Ave Apt 4B"] == read(column("us_address", case="title"), "120 NORTH MICHIGAN AVENUE APT 4b")


_WORDS = [
    "120",
    "North",
    "W.",
    "Michigan",
    "Avenue",
    "St.",
    "Street",
    "Apt",
    "#",
    "4B",
    "Suite",
    "PH",
    "Box",
    "P.O.",
    "NE",
]


@settings(deadline=None)
@given(st.lists(st.sampled_from(_WORDS), max_size=7))
def test_a_street_address_twice_is_the_same_as_once(words: list[str]) -> None:
    once = standard_address(" ".join(words))
    assert once == standard_address(once)
