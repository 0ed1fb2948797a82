"""Whatever a document holds, it is a contract or it is refused: nothing else is raised."""

from __future__ import annotations

import copy
import random
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline_processing.contracts.document import parse
from pipeline_processing.contracts.lint import warnings_of
from pipeline_processing.contracts.load import examine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline_processing.model import Json

ROOT = Path(__file__).parents[2]
SOURCES = [
    *sorted((ROOT / "contracts").glob("*.yaml")),
    *sorted((ROOT / "tests/fixtures/odcs_examples").rglob("*.yaml")),
]
STRANGE = [
    None,
    True,
    0,
    -1,
    1.5,
    2**62,
    "",
    "x",
    "a b",
    [],
    [None],
    ["x", "x"],
    {},
    {"a": 1},
    [{}],
    [[]],
    "{",
    "(",
    "\u2028",
]


@cache
def _documents() -> list[Json]:
    return [parse(path.read_text(), source=path.name) for path in SOURCES]


def _places(value: Json, place: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if place:
        yield place
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in pairs:
        yield from _places(child, (*place, key))


def _at(document: Json, place: tuple[str | int, ...]) -> Json:
    for key in place:
        document = document[key]
    return document


def _spoiled(document: Json, chance: random.Random) -> Json:
    """The document with one thing replaced by something strange, by another part of it, or gone."""
    document = copy.deepcopy(document)
    places = list(_places(document))
    *above, key = chance.choice(places)
    parent = _at(document, tuple(above))
    what = chance.choice(["strange", "strange", "strange", "other part", "gone"])
    if what == "gone":
        del parent[key]
    else:
        other = _at(document, chance.choice(places))
        parent[key] = copy.deepcopy(chance.choice(STRANGE) if what == "strange" else other)
    return document


@pytest.mark.parametrize("seed", range(8))
def test_a_spoiled_contract_loads_or_is_refused_with_places(seed: int) -> None:
    chance = random.Random(seed)
    documents = _documents()

    for _ in range(25):
        contracts, faults = examine(_spoiled(chance.choice(documents), chance))
        assert faults or contracts
        assert [] == [fault for fault in faults.all() if not fault.what]
        assert [] == [warning for contract in contracts for warning in warnings_of(contract) if not warning.what]
