"""Text steps and persons' names."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_core.errors import ConfigError
from one_column import column, planned, read
from pipeline_processing.contracts.model import Format, Step
from pipeline_processing.contracts.steps import STEPS
from pipeline_processing.transforms import people
from pipeline_processing.transforms.texts import TEXT_STEPS

if TYPE_CHECKING:
    from pipeline_processing.model import Json


@pytest.mark.parametrize(
    ("step", "options", "text", "expected"),
    [
        ("trim", {}, " \u00a0a b\t", "a b"),
        ("trim", {"characters": "*#"}, "*a*b#", "a*b"),
        ("collapse_spaces", {}, "  a \t\n b\u00a0\u00a0c\u00a0d ", "a b c d"),
        ("unicode", {}, "e\u0301\u200b", "\u00e9"),
        ("unicode", {"form": "NFKC"}, "\uff21\ufb01", "Afi"),
        ("unicode", {"punctuation": True}, "\u201cO\u2019Brien\u201d \u2013 x\u00a0y\u2026", '"O\'Brien" - x y...'),
        ("unicode", {"accents": "strip"}, "M\u00fcller Nu\u00f1ez", "Muller Nunez"),
        ("unicode", {}, "a\x00b\x1fc\td", "abc\td"),
        ("upper", {}, "stra\u00dfe", "STRASSE"),
        ("lower", {}, "\u00c9A", "\u00e9a"),
        ("title", {}, "CHIEF OF the DRIVER'S club, don't", "Chief Of The Driver's Club, Don't"),
        ("title", {}, "o'brien-smith", "O'Brien-Smith"),
        ("replace", {"pattern": r"\s*\(.*\)$", "with": ""}, "Smith (retired)", "Smith"),
        ("replace", {"pattern": ".", "with": "", "literal": True}, "a.b.c", "abc"),
        ("replace", {"pattern": r"(\d+)-(\d+)", "with": "${2}-${1}"}, "1-2", "2-1"),
        ("replace", {"values": {"n/a": "unknown"}}, "n/a", "unknown"),
        ("replace", {"values": {"n/a": "unknown"}}, "n/a!", "n/a!"),
        ("null_if", {"values": ["N/A", "-"]}, " - ", None),
        ("null_if", {"values": ["N/A"]}, "n/a", "n/a"),
        ("null_if", {"values": ["N/A"], "ignore_case": True}, "n/a", None),
        ("pad", {"length": 5}, "42", "00042"),
        ("pad", {"length": 5, "side": "right", "fill": "x"}, "42", "42xxx"),
        ("pad", {"length": 1}, "42", "42"),
        ("strip_prefix", {"text": "CPD-"}, "CPD-CPD-1", "CPD-1"),
        ("strip_suffix", {"text": ".0"}, "12.0", "12"),
        ("digits", {}, "(312) 744-5000 \u0663", "3127445000"),
        ("trim", {}, "   ", None),
        ("trim", {}, None, None),
    ],
)
def test_a_text_step(step: str, options: Json, text: str | None, expected: str | None) -> None:
    assert [expected] == read(column(step, **options), text)


@pytest.mark.parametrize("step", ["trim", "collapse_spaces", "unicode", "upper", "lower", "title", "digits"])
@settings(deadline=None)
@given(text=st.text(max_size=12))
def test_a_text_step_twice_is_the_same_as_once(step: str, text: str) -> None:
    [once] = read(column(step), text)
    assert [once] == read(column(step), once)


def test_every_step_of_the_contracts_table_is_compiled() -> None:
    needed: dict[str, Json] = {"null_if": {"values": []}, "pad": {"length": 1}}
    needed |= {name: {"text": "x"} for name in ("strip_prefix", "strip_suffix")}
    for name in STEPS:
        assert [None] == read(column(name, **needed.get(name, {})), None)
    assert TEXT_STEPS.keys() < STEPS.keys()


def test_a_step_that_is_none_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ConfigError, match=r"no normaliser 'capitalise'.*trim, collapse_spaces"):
        planned(column("capitalise"))


def test_steps_run_in_their_order_whatever_kind_they_are() -> None:
    steps = (
        Step("trim"),
        Step("person_name", {"order": "last_first"}),
        Step("upper"),
        Step("replace", {"pattern": " "}),
    )
    assert ["JOHNO'BRIEN"] == read(replace(column(), normalise=steps), " o'brien, john ")


def test_the_formats_null_values_are_null_and_no_fault() -> None:
    nulls = Format(null_values=("", "N/A"))
    assert [None, None, 5, None] == read(column(kind="integer"), "N/A", " N/A ", "5", "", format_=nulls)


def test_an_empty_text_stays_where_the_format_does_not_call_it_null() -> None:
    assert ["", "a"] == read(column("trim"), "  ", "a", format_=Format(null_values=("-",)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SMITH", "Smith"),
        ("  john   q.  smith ", "John Q. Smith"),
        ("O'BRIEN", "O'Brien"),
        ("o\u2019brien", "O'Brien"),
        ("D'ANGELO-MCDONALD", "D'Angelo-McDonald"),
        ("MCCARTHY", "McCarthy"),
        ("MC", "Mc"),
        ("MACDONALD", "MacDonald"),
        ("MACIAS", "Macias"),
        ("MACK", "Mack"),
        ("LUDWIG VAN BEETHOVEN", "Ludwig van Beethoven"),
        ("VAN DYKE", "Van Dyke"),
        ("MARIA DE LA CRUZ", "Maria de la Cruz"),
        ("ERIN E SMITH", "Erin E Smith"),
        ("THI LE NGUYEN", "Thi Le Nguyen"),
        ("JOHN SMITH JR", "John Smith Jr"),
        ("john smith, jr.", "John Smith, Jr"),
        ("JOHN SMITH 3RD", "John Smith III"),
        ("JOHN SMITH iii", "John Smith III"),
        ("DeShawn LaTOYA", "DeShawn LaTOYA"),
        ("\u00c9MILE M\u00dcLLER", "\u00c9mile M\u00fcller"),
        ("", None),
        (" , ", None),
        (None, None),
    ],
)
def test_a_name_is_written_as_people_write_it(text: str | None, expected: str | None) -> None:
    assert [expected] == read(column("person_name"), text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SMITH, JOHN", "John Smith"),
        ("SMITH, JOHN Q", "John Q Smith"),
        ("SMITH JR, JOHN", "John Smith Jr"),
        ("SMITH, JOHN, JR.", "John Smith Jr"),
        ("SMITH, JOHN II", "John Smith II"),
        ("DE LA CRUZ, MARIA", "Maria de la Cruz"),
        ("SMITH JOHN", "John Smith"),
        ("VAN DYKE JASON", "Jason van Dyke"),
        ("SMITH", "Smith"),
        ("SMITH,", "Smith"),
    ],
)
def test_a_name_whose_last_name_stands_first_is_turned(text: str, expected: str) -> None:
    assert [expected] == read(column("person_name", order="last_first"), text)


def test_a_part_of_a_name_can_be_kept() -> None:
    text = "DE LA CRUZ III, MARIA JOSE"
    parts = {part: read(column("person_name", order="last_first", part=part), text)[0] for part in people.Name._fields}
    assert {"first": "Maria", "middle": "Jose", "last": "De la Cruz", "suffix": "III"} == parts
    straight = [read(column("person_name", part=part), "Maria Jose de la Cruz")[0] for part in ("last", "suffix")]
    assert ["De la Cruz", None] == straight


def test_the_case_of_a_name_can_be_another() -> None:
    assert ["JOHN SMITH JR"] == read(column("person_name", case="upper"), "John Smith junior")
    assert ["john SMITH"] == read(column("person_name", case="keep"), " john  SMITH ")


_WORDS = st.sampled_from(
    [
        "SMITH",
        "o'brien",
        "McDonald",
        "mcdonald",
        "VAN",
        "de",
        "la",
        "JR.",
        "iii",
        "Jean-Luc",
        "J.",
        "MACLEOD",
        ",",
        "\u00e9MILE",
    ]
)


@settings(deadline=None)
@given(st.lists(_WORDS, max_size=5))
def test_a_name_written_twice_is_the_same_as_once(words: list[str]) -> None:
    [once] = read(column("person_name"), " ".join(words))
    assert [once] == read(column("person_name"), once)


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from(["SMITH", "smith", "Ann", "J.", "J", "MCDONALD", "van", "II", "MACK"]), min_size=1, max_size=4
    ),
    st.integers(0, 3),
    st.booleans(),
    st.sampled_from(["full", *people.Name._fields]),
)
def test_the_short_way_for_plain_names_gives_what_the_long_one_gives(
    words: list[str],
    comma: int,
    turned: bool,  # noqa: FBT001 - hypothesis passes it
    part: str,
) -> None:
    text = ", ".join(filter(None, (" ".join(words[:comma]), " ".join(words[comma:]))))
    one = column("person_name", order="last_first" if turned else "first_last", part=part)
    assert [people.write(text, turned=turned, part=part)] == read(one, text)
