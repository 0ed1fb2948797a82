"""What a rule asks, in words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline_processing.contracts.model import Check, CheckKind, Column, Contract, Lookup
from pipeline_processing.quarantine.schema import READER
from pipeline_processing.readers import REASONS
from pipeline_processing.reports.quality_rules import READER_ASKS, asked_of

RICH = Column(
    "x",
    "date",
    primary_key_position=1,
    enum=("A", "B"),
    pattern="^A$",
    min_length=2,
    max_length=5,
    minimum="2000-01-01",
    exclusive_maximum="2030-01-01",
    multiple_of=5,
    lookup=Lookup("units", {"x": "code"}, "name"),
)


def asked(kind: CheckKind, column: Column = RICH) -> str:
    check = Check("rule", kind, None if kind in {"primary_key", "row"} else "x", expression="x >\n  born")
    return asked_of(Contract("c", "1.0.0", "people", (column,), (check,), "0" * 16)).get("rule", "")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("type", "can be read as a date"),
        ("enum", "is one of A, B"),
        ("pattern", "has the form ^A$"),
        ("length", "has 2 to 5 characters"),
        ("range", "is at least 2000-01-01 and less than 2030-01-01"),
        ("multiple_of", "is a whole multiple of 5"),
        ("lookup", "is found in units"),
        ("primary_key", "the key x is there once only"),
        ("row", "holds: x > born"),
        ("required", ""),
    ],
)
def test_a_rule_says_what_its_contract_asks(kind: CheckKind, words: str) -> None:
    assert words == asked(kind)


def test_lengths_have_one_end_two_or_none() -> None:
    assert "has at least 2 characters" == asked("length", replace(RICH, max_length=None))
    assert "has at most 5 characters" == asked("length", replace(RICH, min_length=None))
    assert "has 5 characters" == asked("length", replace(RICH, min_length=5))


def test_the_allowed_values_of_a_classified_column_and_more_than_twenty_are_counted_only() -> None:
    assert "is one of the 2 allowed values" == asked("enum", replace(RICH, classification="confidential"))
    assert "is one of the 21 allowed values" == asked("enum", replace(RICH, enum=tuple(map(str, range(21)))))


def test_every_reason_of_a_reader_has_words() -> None:
    assert {f"{READER}.{reason.replace(' ', '_')}" for reason in REASONS} == set(READER_ASKS)
