from __future__ import annotations

import pytest

from pipeline_processing.contracts.document import MAX_BYTES, dump, parse
from pipeline_processing.contracts.faults import ContractError


def _refusal(text: str) -> str:
    with pytest.raises(ContractError) as refused:
        parse(text, source="c.yaml")
    return str(refused.value)


def test_texts_that_an_older_yaml_would_turn_into_something_else_stay_texts() -> None:
    text = "no: NO\nyes: Yes\ny: Y\ndate: 2016-01-31\nzero: 007\ntime: 12:30:00\nunder: 1_000\nhex: 0x1F\noctal: 010\n"

    assert {
        "no": "NO",
        "yes": "Yes",
        "y": "Y",
        "date": "2016-01-31",
        "zero": "007",
        "time": "12:30:00",
        "under": "1_000",
        "hex": "0x1F",
        "octal": "010",
    } == parse(text, source="c")


def test_numbers_truth_and_nothing_are_what_they_are_in_json() -> None:
    text = "a: 1\nb: -2.5\nc: true\nd: false\ne: null\nf: ~\ng: 1e3\n"

    assert {"a": 1, "b": -2.5, "c": True, "d": False, "e": None, "f": None, "g": 1000.0} == parse(text, source="c")


def test_a_merged_mapping_may_be_overridden() -> None:
    text = "a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  y: 3\n"

    assert {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}} == parse(text, source="c")


def test_a_key_that_stands_twice_is_refused_with_its_line() -> None:
    assert "c.yaml: line 3, column 3: the key 'x' stands twice" == _refusal("a:\n  x: 1\n  x: 2\n")


def test_aliases_that_would_grow_without_bound_are_refused() -> None:
    levels = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 9)]

    assert "more than 100,000 values, aliases written out" in _refusal("\n".join(["l0: &l0 [x]", *levels, ""]))


def test_merges_that_would_grow_without_bound_are_refused() -> None:
    levels = [f"m{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * 10)}]}}" for n in range(1, 9)]

    assert "more than 100,000 values, aliases written out" in _refusal("\n".join(["m0: &m0 {x: 1}", *levels, ""]))


def test_an_alias_that_holds_itself_is_refused() -> None:
    assert "an alias that holds itself" in _refusal("a: &a [*a]\n")


def test_deep_nesting_is_refused_and_overflows_no_stack() -> None:
    assert "nested deeper than 40 levels" in _refusal("[" * 100_000)


def test_a_large_document_is_refused_unread() -> None:
    assert "larger than 1,048,576 bytes" in _refusal("a: " + "x" * MAX_BYTES)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a: !!python/object/apply:os.system [x]\n", "could not determine a constructor"),
        ("a: !!binary aGk=\n", "a: a value of type bytes"),
        ("a: !!set {x}\n", "a: a value of type set"),
        ("a: !!timestamp 2020-01-01\n", "a: a value of type date"),
        ("? [a]\n: 1\n", "a key that is no text"),
        ("1: 2\n", "the key 1 is no text"),
        ("a: 1\n---\nb: 2\n", "another document"),
        ("- 1\n", "a mapping was expected"),
        ("\n", "a mapping was expected"),
        ("a: [\n", "line 2, column 1"),
        ('a: "\x00"\n', "unacceptable character"),
        ("a: \ud800\n", "unacceptable character"),
        ("a: 99999999999999999999\n", "a: a number that 64 bits do not hold"),
        ("a: 1e999\n", "a: a number that 64 bits do not hold"),
    ],
)
def test_what_is_no_plain_document_is_refused(text: str, what: str) -> None:
    assert what in _refusal(text)


def test_what_is_written_is_read_back_as_it_was() -> None:
    texts = ["NO", "1e3", "007", "2016-01-31", "true", "null", "~", "", " x ", "a: b", "12:30", "é", "1_0", "-", "0x1F"]

    assert {"texts": texts, "other": [1, 2.5, True, None]} == parse(
        dump({"texts": texts, "other": [1, 2.5, True, None]}), source="c"
    )
