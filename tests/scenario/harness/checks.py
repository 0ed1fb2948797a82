"""What every scenario asserts, recomputed from raw keys and bytes: conservation, one marker an item, exact outputs."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import orjson
import polars as pl
import zstandard

from harness.world import AGENCIES, planned_inputs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from harness.bucket import Stored
    from harness.fleet import DeadLetter, Run

STATES: Final = ("done", "skipped", "dead", "pending")
PREFIX_DIGITS: Final = 32


@dataclass
class Account:
    """What a run's raw keys say. ``states`` maps each planned item to its state."""

    items: dict[str, dict[str, Any]] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    markers: dict[str, dict[str, Any]] = field(default_factory=dict)
    dossiers: dict[str, dict[str, Any]] = field(default_factory=dict)

    def of(self, state: str) -> list[str]:
        return sorted(item_id for item_id, its in self.states.items() if its == state)

    def balance(self, agency_id: str | None = None) -> dict[str, dict[str, int]]:
        """Return items and inputs in each state, as a report spells them."""
        chosen = [item for item in self.items.values() if agency_id in {None, item["agency_id"]}]
        groups = {state: [item for item in chosen if self.states[item["item_id"]] == state] for state in STATES}
        groups["planned"] = chosen
        return {
            name: {"items": len(those), "inputs": sum(item["inputs"] for item in those)}
            for name, those in groups.items()
        }


def account(run: Run) -> Account:
    """Read the run's manifest, markers and dossiers without the product."""
    control, found = run.fleet.control, Account()
    head = orjson.loads(control.read(f"{run.root}manifest.json").body)
    for part in head["parts"]:
        lines = zstandard.decompress(control.read(part["key"]).body).splitlines()
        found.items |= {item["item_id"]: item for item in map(orjson.loads, lines)}
    for key in run.keys("done/"):
        found.markers[key.rpartition("/")[2]] = orjson.loads(control.read(key).body)["marker"]
    for key in run.keys("dead/"):
        found.dossiers[key.rpartition("/")[2].removesuffix(".json")] = orjson.loads(control.read(key).body)["evidence"]
    for item_id in found.items:
        if item_id in found.markers:
            found.states[item_id] = found.markers[item_id]["result"]["status"]
        else:
            found.states[item_id] = "dead" if item_id in found.dossiers else "pending"
    return found


def assert_whole(run: Run, reference: Mapping[str, Stored], *, may_have_failed: bool = False) -> Account:
    """Assert that the run ended green: each planned item done, once, its bytes where they belong, published once."""
    found = assert_conserved(run)
    assert [] == found.of("pending") + found.of("dead")
    assert ["_SUCCESS"] == flags(run)
    assert [] == run.keys("dead/")
    assert may_have_failed or [] == run.keys("failed/")
    assert [] == run.fleet.dead_letters()
    assert_outputs(run, reference)
    assert_published_once(run)
    run.fleet.assert_permitted()  # here, too: a fleet that scenarios share ends after the last of them
    return found


def assert_conserved(run: Run) -> Account:
    """Assert planned = done + skipped + dead + pending, per run and agency, in the raw keys and in the report alike."""
    found = account(run)
    assert dict(planned_inputs()) == {
        agency_id: found.balance(agency_id)["planned"]["inputs"] for agency_id in AGENCIES
    }
    assert set(found.markers) <= set(found.items)
    assert set(found.dossiers) <= set(found.items)
    assert {f"{run.root}done/{item_id}": 1 for item_id in found.markers} == dict(
        run.fleet.control.versions(f"{run.root}done/")
    ), "exactly one marker an item"
    report = read_report(run)
    _assert_balanced(found.balance(), report["total"])
    assert sorted(AGENCIES) == [agency["agency_id"] for agency in report["agencies"]]
    for agency in report["agencies"]:
        _assert_balanced(found.balance(agency["agency_id"]), agency)
    return found


def assert_published_once(run: Run) -> None:
    record = orjson.loads(run.fleet.control.read(f"{run.root}run.json").body)
    assert 1 == len(record["commits"])
    assert {"catalog.json": 1} == dict(run.destination.versions("catalog.json"))


def read_report(run: Run) -> dict[str, Any]:
    report: dict[str, Any] = orjson.loads(run.fleet.control.read(f"{run.root}report.json").body)
    return report


def flags(run: Run) -> list[str]:
    return [name for name in ("_PARTIAL", "_SUCCESS") if f"{run.root}{name}" in run.keys(name)]


def assert_outputs(run: Run, reference: Mapping[str, Stored], *, without: Iterable[str] = ()) -> None:
    """Assert that the destination holds exactly the right bytes under exactly the right keys.

    ``reference`` is what a run in one process left in another bucket; ``without`` names agencies whose export is dead.
    """
    objects = run.destination.snapshot()
    world, missing = run.fleet.world, tuple(f"{agency_id}/employment_history/" for agency_id in without)
    expected = {key: file.body for key, file in world.attachments().items()}
    expected |= {key: body for key, body in world.histories().items() if not key.startswith(missing or "\0")}
    assert expected == {
        key: stored.body for key, stored in objects.items() if "/manifest/" not in key and key != "catalog.json"
    }
    if not missing:
        assert comparable(reference) == comparable(objects)


def comparable(objects: Mapping[str, Stored]) -> dict[str, Any]:
    """Return a destination's objects without what must differ: the bucket's own name, the time of the plan, the run."""
    result: dict[str, Any] = {}
    for key, stored in objects.items():
        if "/manifest/" in key:
            agency_id, _, name = key.split("/")
            assert name.partition(".")[0] == hashlib.sha256(stored.body).hexdigest()[:PREFIX_DIGITS]
            result[f"{agency_id}/manifest.{name.rpartition('.')[2]}"] = _rows(stored)
        elif key == "catalog.json":
            result[key] = _catalog(objects)
        else:
            result[key] = stored
    return result


def assert_dead_letters(run: Run, expected: Iterable[str]) -> list[DeadLetter]:
    """Assert that the dead-letter queue holds exactly these bodies, in any order."""
    letters = run.fleet.dead_letters()
    assert sorted(expected) == [letter.body for letter in letters]
    return letters


def error_of(letter: DeadLetter) -> dict[str, Any]:
    """Return what a dead letter says of its end."""
    error: dict[str, Any] = orjson.loads(letter.attributes["error"])
    return error


def _rows(stored: Stored) -> list[dict[str, Any]]:
    if stored.content_type == "application/x-ndjson":
        rows = [orjson.loads(line) for line in stored.body.splitlines()]
    else:
        rows = pl.read_parquet(io.BytesIO(stored.body)).to_dicts()
    return [row | {"destination_bucket": ""} for row in rows]


def _catalog(objects: Mapping[str, Stored]) -> dict[str, Any]:
    """Return what the catalog says but for run and time; its files must be there, with the bytes that it says."""
    agencies: dict[str, Any] = orjson.loads(objects["catalog.json"].body)["agencies"]
    for part in (part for parts in agencies.values() for part in parts.values()):
        del part["run_id"], part["planned_at"]
        for file in part["files"]:
            body = objects[file["key"]].body
            assert (file["size"], file["checksum"]) == (len(body), f"SHA256:{hashlib.sha256(body).hexdigest()}")
        part["files"] = sorted(file["key"].rpartition(".")[2] for file in part["files"])
    return agencies


def _assert_balanced(expected: Mapping[str, Any], reported: Mapping[str, Any]) -> None:
    assert reported["is_conserved"]
    assert expected == {name: reported[name] for name in expected}
    assert expected["planned"]["items"] == sum(expected[state]["items"] for state in STATES)
