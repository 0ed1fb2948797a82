from __future__ import annotations

import asyncio
import itertools
from datetime import UTC, datetime, timedelta, timezone

import pytest

from etl_core.errors import ConfigError, Conflict, ReplyLost, Transient, Unreachable
from etl_core.objects.memory import MemoryBuckets, MemoryStore
from etl_core.testing.fake_clock import FakeClock
from pipeline_processing.runs import TRANSITIONS, Cancellations, Run, Runs, Superseded, default_run_id

CLOCK = FakeClock(auto_advance=True)


def make(store: MemoryStore) -> Runs:
    numbers = itertools.count()
    return Runs(store, "pp", CLOCK, jitter=lambda: 0.5, nonce=lambda: f"{id(numbers)}-{next(numbers)}")


def bucket() -> MemoryStore:
    return MemoryBuckets(CLOCK).create("control")


async def opened(runs: Runs, run_id: str = "r1") -> Run:
    return await runs.open(run_id, "tiny", {"items": 1}, code_version="1")


async def test_opening_a_run_twice_resumes_it() -> None:
    store = bucket()
    first = await opened(make(store))
    assert first == await opened(make(store)) == await make(store).load("r1")


async def test_two_that_open_at_once_get_one_run() -> None:
    store = bucket()
    one, two = await asyncio.gather(opened(make(store)), opened(make(store)))
    assert (one, one.etag) == (two, two.etag)


async def test_a_run_of_another_job_is_refused_naming_both() -> None:
    runs = make(bucket())
    await opened(runs)
    with pytest.raises(ConfigError, match="belongs to job tiny, not to huge"):
        await runs.open("r1", "huge", {"items": 1}, code_version="1")


async def test_a_run_of_other_arguments_is_refused_naming_them() -> None:
    runs = make(bucket())
    await opened(runs)
    with pytest.raises(ConfigError, match='items was 1 and is 2, mode was not given and is "fast"'):
        await runs.open("r1", "tiny", {"items": 2, "mode": "fast"}, code_version="1")


async def test_a_change_of_a_record_that_has_changed_is_superseded() -> None:
    runs = make(bucket())
    run = await opened(runs)
    moved = await runs.move(run, "planned", leaving="planning", manifest_sha256="x")
    assert ("planned", 2, "x") == (moved.state, moved.revision, moved.manifest_sha256)
    with pytest.raises(Superseded) as caught:
        await runs.move(run, "planned", leaving="planning")
    assert moved == caught.value.current


async def test_of_two_changes_at_once_one_wins() -> None:
    store = bucket()
    run = await opened(make(store))
    ends = await asyncio.gather(
        *(make(store).move(run, "planned", leaving="planning") for _ in range(5)), return_exceptions=True
    )
    assert 4 == sum(isinstance(end, Superseded) for end in ends)


@pytest.mark.parametrize("state", list(TRANSITIONS))
async def test_a_step_that_does_not_exist_is_refused(state: str) -> None:
    runs = make(bucket())
    run = await opened(runs)
    if state == "planned":
        with pytest.raises(ConfigError, match="can not go from scattered to planned"):
            await runs.move(run, "planned", leaving="scattered")
    elif state not in TRANSITIONS["planning"]:
        with pytest.raises(ConfigError, match="can not go"):
            await runs.move(run, state, leaving="planning")  # type: ignore[arg-type] # every state by name


class Stormy(MemoryStore):
    """Each conditional write meets the faults in turn; with ``lands`` the write takes effect all the same."""

    def __init__(self, buckets: MemoryBuckets, faults: list[Transient], *, lands: bool) -> None:
        super().__init__(buckets, "control")
        self._faults, self._lands = faults, lands

    async def put_if_match(self, key: str, body: bytes, *, etag: str, content_type: str | None = None) -> str:
        if not self._faults:
            return await super().put_if_match(key, body, etag=etag, content_type=content_type)
        fault = self._faults.pop(0)
        if self._lands:
            await super().put_if_match(key, body, etag=etag, content_type=content_type)
        raise fault


@pytest.mark.parametrize("lands", [True, False])
async def test_a_lost_reply_is_read_back_and_the_change_made_once(lands: bool) -> None:  # noqa: FBT001 - a test's parameter
    buckets = MemoryBuckets(CLOCK)
    runs = make(Stormy(buckets, [ReplyLost("no reply")], lands=lands))
    moved = await runs.move(await opened(runs), "planned", leaving="planning")
    assert (2, moved) == (moved.revision, await runs.load("r1"))


async def test_conflicts_and_broken_connections_are_waited_out() -> None:
    runs = make(Stormy(MemoryBuckets(CLOCK), [Conflict("409"), Unreachable("no route")], lands=False))
    assert "planned" == (await runs.move(await opened(runs), "planned", leaving="planning")).state


async def test_a_storm_without_end_is_a_transient_error() -> None:
    runs = make(Stormy(MemoryBuckets(CLOCK), [Conflict("409") for _ in range(20)], lands=False))
    with pytest.raises(Transient, match="could not write"):
        await runs.move(await opened(runs), "planned", leaving="planning")


async def test_runs_are_listed_by_name_however_much_they_hold() -> None:
    store = bucket()
    runs = make(store)
    for run_id in ("r1", "r1-x", "r1.y", "r10", "a"):
        await opened(runs, run_id)
        await store.put(f"pp/runs/{run_id}/done/{'0' * 32}", b"")
        await store.put(f"pp/runs/{run_id}/report.json", b"")
    await store.put("pp/runs/no run at all/x", b"")
    assert ["a", "r1", "r1-x", "r1.y", "r10"] == sorted([run_id async for run_id in runs.list()])


@pytest.mark.parametrize("run_id", ["", ".", "../x", "a/b", "a b", "x" * 129])
async def test_an_id_that_is_no_run_id_is_a_clear_error(run_id: str) -> None:
    with pytest.raises(ConfigError, match="can not be a run's id"):
        await opened(make(bucket()), run_id)


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"v":2,"state":"planned"}'])
async def test_a_record_that_is_none_is_a_clear_error(body: bytes) -> None:
    store = bucket()
    await store.put("pp/runs/r1/run.json", body)
    with pytest.raises(ConfigError, match="not a run's record"):
        await make(store).load("r1")


async def test_a_record_of_another_version_is_named() -> None:
    store = bucket()
    runs = make(store)
    body = (await opened(runs)).encode()
    await store.put("pp/runs/r1/run.json", body.replace(b'"v": 1', b'"v": 9'))
    with pytest.raises(ConfigError, match="version 9"):
        await runs.load("r1")


async def test_cancelling_is_noticed_within_the_time_to_live_and_asked_for_once() -> None:
    clock = FakeClock()
    store = Counting(MemoryBuckets(clock), "control")
    runs = make(store)
    run = await opened(runs)
    cancellations = Cancellations(runs, clock, ttl=timedelta(seconds=15))
    store.gets = 0
    assert [False] * 50 == list(await asyncio.gather(*(cancellations.is_cancelled("r1") for _ in range(50))))
    assert 1 == store.gets
    await runs.cancel(run.run_id)
    assert not await cancellations.is_cancelled("r1")
    await clock.advance(timedelta(seconds=15))
    assert await cancellations.is_cancelled("r1")


async def test_a_run_without_a_record_is_not_cancelled() -> None:
    assert not await Cancellations(make(bucket()), CLOCK).is_cancelled("nowhere")


class Counting(MemoryStore):
    gets = 0

    async def get(self, key: str):  # type: ignore[no-untyped-def] # noqa: ANN201 - the parent's
        self.gets += 1
        return await super().get(key)


def test_the_same_schedule_and_arguments_give_the_same_id_in_any_zone() -> None:
    noon = datetime(2030, 1, 1, 12, tzinfo=UTC)
    local = noon.astimezone(timezone(timedelta(hours=-6)))
    assert default_run_id("tiny", {"a": 1, "b": 2}, noon) == default_run_id("tiny", {"b": 2, "a": 1}, local)
    assert default_run_id("tiny", {"a": 1}, noon) != default_run_id("tiny", {"a": 2}, noon)
