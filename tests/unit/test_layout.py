from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_processing.layout import ITEM_ID, RUN_ID, RunLayout, run_id_of

PREFIXES = st.from_regex(r"[a-z/]{0,12}", fullmatch=True)
RUN_IDS = st.from_regex(RUN_ID, fullmatch=True).filter(lambda text: not text.endswith("\n"))
ITEM_IDS = st.from_regex(ITEM_ID, fullmatch=True).filter(lambda text: not text.endswith("\n"))


@given(PREFIXES, RUN_IDS, ITEM_IDS, st.integers(1, 10**6))
def test_every_key_of_an_item_leads_back_to_its_run_and_item(
    prefix: str, run_id: str, item_id: str, number: int
) -> None:
    layout = RunLayout(prefix, run_id)
    for key in (layout.marker(item_id), layout.dossier(item_id), layout.failure(item_id, number)):
        assert (run_id, item_id) == (run_id_of(prefix, key), layout.item_of(key))


@given(PREFIXES, RUN_IDS)
def test_no_other_key_is_taken_for_an_items(prefix: str, run_id: str) -> None:
    layout = RunLayout(prefix, run_id)
    keys = (layout.run, layout.manifest, layout.manifest_part(0, "0" * 64), layout.report("json"), layout.success)
    assert {None} == {layout.item_of(key) for key in keys}
    assert {run_id} == {run_id_of(prefix, key) for key in keys}


@given(RUN_IDS, RUN_IDS, ITEM_IDS)
def test_one_runs_keys_are_never_anothers(one: str, other: str, item_id: str) -> None:
    if one != other:
        assert RunLayout("p", one).item_of(RunLayout("p", other).marker(item_id)) is None


@pytest.mark.parametrize("run_id", ["", ".", "..", "../r", "a/b", "a b", "-r", "ü", "r" * 129, "r\n"])
def test_a_run_id_that_could_be_mistaken_in_a_key_is_refused(run_id: str) -> None:
    with pytest.raises(ValueError, match="run id"):
        RunLayout("p", run_id)


@pytest.mark.parametrize("name", ["x", "0" * 31, "0" * 33, "G" * 32, "0" * 32 + "\n"])
def test_a_stray_object_among_the_markers_is_no_item(name: str) -> None:
    layout = RunLayout("p", "r")
    assert layout.item_of(layout.done + name) is None


def test_markers_sort_as_their_items_do() -> None:
    layout, ids = RunLayout("p", "r"), ["0" * 32, "0" * 31 + "a", "f" * 32]
    assert [layout.marker(item_id) for item_id in ids] == sorted(layout.marker(item_id) for item_id in ids)
