from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_processing.model import Item, canonical_json, item_id_of

PAYLOADS = st.dictionaries(st.text(st.characters(codec="utf-8")), st.integers(-(2**53), 2**53) | st.booleans())


@given(PAYLOADS)
def test_an_items_id_does_not_depend_on_the_order_of_its_payload(payload: dict[str, int]) -> None:
    backwards = dict(reversed(payload.items()))
    assert Item("p", "10", payload).item_id == Item("p", "10", backwards).item_id
    assert canonical_json(payload) == canonical_json(backwards)


def test_everything_that_changes_the_outcome_changes_the_id() -> None:
    items = [
        Item("p", "10", {"etag": "a"}),
        Item("q", "10", {"etag": "a"}),
        Item("p", "11", {"etag": "a"}),
        Item("p", "10", {"etag": "b"}),
        Item("p", "10", {"etag": ["a"]}),
    ]
    assert len(items) == len({item.item_id for item in items})


def test_the_id_is_the_same_for_ever() -> None:
    """A run planned by one version is resumed by the next: this value must never change."""
    assert "fddba8acb86351c10ea6874224e84f62" == item_id_of("copy", "10", {"size": 1, "key": "ü"})


def test_a_given_id_must_be_the_derived_one() -> None:
    item = Item("p", "10", {"etag": "a"})
    assert item == Item("p", "10", {"etag": "a"}, 1, item.item_id)
    with pytest.raises(ValueError, match="does not match"):
        Item("p", "10", {"etag": "b"}, 1, item.item_id)
