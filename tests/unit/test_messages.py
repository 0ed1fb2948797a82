from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_processing.messages import BODY_LIMIT, Claim, MalformedMessage, decode, encode, rebase
from pipeline_processing.model import Item

if TYPE_CHECKING:
    from collections.abc import Callable

TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=10,
)
ITEMS = st.builds(Item, TEXT, TEXT, st.dictionaries(TEXT, JSON, max_size=4), st.integers(0, 10_000))
ONE = Item("copy", "10", {"key": "secret-value"}, 3)


@given(ITEMS, st.integers(0, 99))
def test_an_item_travels_unchanged(item: Item, attempt_base: int) -> None:
    message = decode(encode("r1", item, part="p", attempt_base=attempt_base))
    assert item == message.item()
    assert ("r1", attempt_base) == (message.run_id, message.attempt_base)


@given(ITEMS, st.integers(0, 99))
def test_a_rebased_message_differs_in_its_base_only(item: Item, base: int) -> None:
    assert decode(encode("r1", item, part="p", attempt_base=base)) == decode(rebase(encode("r1", item, part="p"), base))


def test_a_payload_over_the_limit_stays_in_the_manifest() -> None:
    small, large = (Item("copy", "10", {"x": "x" * size}) for size in (BODY_LIMIT - 500, BODY_LIMIT))
    assert small == decode(encode("r1", small, part="p")).item()
    body = encode("r1", large, part="runs/r1/manifest/00000.jsonl.zst")
    message = decode(body)
    assert len(body) < 1000
    assert Claim("runs/r1/manifest/00000.jsonl.zst") == message.payload
    assert large.item_id == message.item_id
    with pytest.raises(TypeError, match="manifest part"):
        message.item()


def changed(**changes: Any) -> str:  # noqa: ANN401 - any JSON, also what must not be there
    document = {**orjson.loads(encode("r1", ONE, part="p")), **changes}
    return orjson.dumps({name: value for name, value in document.items() if value is not Ellipsis}).decode()


MALFORMED: dict[str, Callable[[], str]] = {
    "empty": lambda: "",
    "no JSON": lambda: "secret-value",
    "cut off": lambda: encode("r1", ONE, part="p")[:-5],
    "nested too deep": lambda: "[" * 5000,
    "a list": lambda: '["secret-value"]',
    "no version": lambda: changed(v=...),
    "a newer version": lambda: changed(v=2),
    "a version that is true": lambda: changed(v=True),
    "no run": lambda: changed(run_id=...),
    "a run that climbs": lambda: changed(run_id="../secret-value"),
    "an item id that is none": lambda: changed(item_id="secret-value"),
    "another item's id": lambda: changed(item_id="0" * 32),
    "another agency's item": lambda: changed(agency_id="11"),
    "no processor": lambda: changed(processor=""),
    "an agency that is a number": lambda: changed(agency_id=10),
    "no payload": lambda: changed(payload=...),
    "a payload that is text": lambda: changed(payload="secret-value"),
    "both payload and claim": lambda: changed(claim={"part": "p"}),
    "a claim without a part": lambda: changed(payload=..., claim={"secret-value": 1}),
    "inputs below zero": lambda: changed(inputs=-1),
    "a base that is a fraction": lambda: changed(attempt_base=1.5),
    "a notification of S3": lambda: '{"Records": [{"eventSource": "aws:s3", "s3": {"key": "secret-value"}}]}',
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_a_malformed_message_is_refused_without_quoting_it(kind: str) -> None:
    with pytest.raises(MalformedMessage) as refused:
        decode(MALFORMED[kind]())
    assert refused.value.reason
    assert "secret-value" not in refused.value.reason


@given(st.text() | JSON.map(lambda value: orjson.dumps(value).decode()))
def test_any_other_text_is_malformed_and_nothing_worse(body: str) -> None:
    with pytest.raises(MalformedMessage):
        decode(body)
