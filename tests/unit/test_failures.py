from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from etl_core.clock import SystemClock
from etl_core.errors import ConfigError, InvalidData, LeaseLost, NotFound, Permanent, Throttled, Transient
from etl_core.retry import Backoff
from pipeline_processing.failures import MESSAGE_LIMIT, describe, scrub
from pipeline_processing.layout import RunLayout

if TYPE_CHECKING:
    from pipeline_processing.model import Failure


def caught(error: BaseException) -> Failure:
    def fail() -> None:
        raise error

    try:
        fail()
    except BaseException as raised:  # noqa: BLE001 - any kind is described
        return describe(raised, packages=(__name__.partition(".")[0],))
    raise AssertionError


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (Transient("x"), True),
        (Throttled("x"), True),
        (Permanent("x"), False),
        (NotFound("x"), False),
        (InvalidData("x"), False),
        (ConfigError("x"), True),
        (LeaseLost("x"), True),
        (ValueError("x"), True),
        (MemoryError(), True),
        (ExceptionGroup("x", [ValueError("x"), Throttled("x")]), True),
        (ExceptionGroup("x", [Throttled("x"), ExceptionGroup("y", [NotFound("x")])]), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_fails_for_ever_is_not_retried_and_what_is_unknown_is(error: Exception, transient: bool) -> None:  # noqa: FBT001 - a table's column
    assert transient == caught(error).transient


def test_our_own_messages_stay_and_others_are_scrubbed() -> None:
    assert "no s3://b/10/'x'.pdf" == caught(NotFound("no s3://b/10/'x'.pdf")).message
    assert (
        "could not convert string to float: <text>"
        == caught(ValueError("could not convert string to float: 'Smith'")).message
    )
    assert "no Smith,John" == caught(NotFound("no Smith,John")).message
    assert caught(NotFound("no Smith")).fingerprint != caught(NotFound("no Jones")).fingerprint


class _Person(BaseModel):
    name: int


def test_a_validation_error_shows_no_value() -> None:
    with pytest.raises(ValidationError) as error:
        _Person.model_validate({"name": "Jane O'Neil"})
    assert "Neil" not in str(describe(error.value))


@pytest.mark.parametrize(
    ("message", "scrubbed"),
    [
        ("can't read 'Smith'", "can't read <text>"),
        ("it's \"O'Brien\" again", "it's <text> again"),
        ("'O'Brien' is bad", "<text> is bad"),
        ("never closed: 'Smith", "never closed: <text>"),
        ("bad b'Smith' here", "bad b<text> here"),
        ("the \u201cSmith\u201d and `Jones`", "the <text> and <text>"),
        ("Key (email)=(a@b.org) already exists.", "Key <list>=<list> already exists."),
        ("Failing row contains (1, (x, Smith), null).", "Failing row contains <list>."),
        ("mail jane.smith+x@example.org now", "mail <email> now"),
        ("SSN 123-45-6789, id 9f86d081884c7d65", "SSN <id>, id <id>"),
        ("row 12 of 3,400 at 12:30", "row <n> of <n> at <n>"),
        ("at s3://bucket/a/b.csv", "at <path>"),
        ("[Errno 2] No such file or directory: '/x'", "[Errno <n>] No such file or directory: <text>"),
        (
            "CSV parse error: Expected 3 columns, got 4: Smith,John,Sergeant,x",
            "CSV parse error: <text> <n> columns, got <n>: <list>",
        ),
        ("value Smith for column last_name", "value <text> for column last_name"),
        ("O'Neil rank=SERGEANT", "<text> rank=<text>"),
        ("SMITH/JOHN", "<list>"),
        ("bad row: smith,john;x.", "bad row: <list>."),
        ("bad row: smith|john", "bad row: <list>"),
        ("got rank = sergeant for b", "got rank =<text> for b"),
        ("Smith", "<text>"),
        ("Smith Jones is unknown", "<text> <text> is unknown"),
        ("no officer m\u00fcller", "no officer <text>"),
        ("officer <smith>=<smith>", "officer <smith>=<text>"),
    ],
)
def test_values_in_a_message_become_placeholders(message: str, scrubbed: str) -> None:
    assert scrubbed == scrub(message)


@given(st.text())
def test_any_message_is_scrubbed_to_something_short(message: str) -> None:
    assert len(scrub(message)) <= MESSAGE_LIMIT


def test_a_huge_message_is_cut_before_it_costs_time() -> None:
    assert len(caught(ValueError("a/" * 10**6)).message) <= MESSAGE_LIMIT


def test_a_lone_surrogate_does_not_survive() -> None:
    assert caught(NotFound("\udcff.pdf")).message.isascii()


def fail_on(value: object) -> Failure:
    return caught(ValueError(f"bad value '{value}'"))


def test_the_fingerprint_is_the_same_for_the_same_cause_and_another_for_another() -> None:
    assert fail_on("Smith").fingerprint == fail_on("Jones").fingerprint
    prints = [
        fail_on("Smith"),
        caught(ValueError("another thing")),
        caught(TypeError("bad value 'Smith'")),
        _failure_of(lambda: Backoff().delay(0, 0.5)),
        _failure_of(lambda: RunLayout("p", "..")),
    ]
    assert len(prints) == len({failure.fingerprint for failure in prints})
    assert all(len(failure.fingerprint) == 12 for failure in prints)


def _failure_of(call: object) -> Failure:
    try:
        call()  # type: ignore[operator] # a lambda
    except ValueError as error:
        return describe(error)
    raise AssertionError


def test_the_fingerprint_knows_the_place_not_the_line() -> None:
    def first() -> Failure:
        return caught(ValueError("x"))

    assert first().fingerprint == first().fingerprint
    assert caught(ValueError("x")).fingerprint == first().fingerprint  # both raise in `caught`


def test_the_trace_shows_our_own_frames_and_no_source() -> None:
    failure = _failure_of(lambda: RunLayout("p", ".."))
    assert {"pipeline_processing.layout"} == {frame.partition(":")[0] for frame in failure.trace}
    assert failure.trace[-1].endswith(" RunLayout.__post_init__")


def test_an_error_that_was_never_raised_has_no_trace() -> None:
    assert () == describe(ValueError("x")).trace
    assert SystemClock().now().tzinfo is not None
