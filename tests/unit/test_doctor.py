import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta
from typing import Any

import orjson
import pytest

from etl_core.batch import BatchReport
from etl_core.errors import AccessDenied, ConfigError, Unreachable
from etl_core.objects import ObjectInfo
from etl_core.objects.memory import MemoryBuckets, MemoryStore
from etl_core.queue.memory import MemoryQueue
from etl_core.settings import load
from etl_core.testing.fake_clock import FakeClock
from pipeline_processing.cli import doctor
from pipeline_processing.cli.checks import Check, Request, examine
from pipeline_processing.jobs.registry import JobEntry, Registry
from pipeline_processing.service_handler import ServiceHandler
from pipeline_processing.settings import Settings

NO_JOBS = Registry({}, ())


class World:
    """A safe deployment without a database; tests break it."""

    def __init__(self, make: Callable[..., MemoryStore] = MemoryStore, **settings: object) -> None:
        self.clock = FakeClock(auto_advance=True)
        self.buckets = MemoryBuckets(self.clock, strict=True)
        for bucket in ("control", "source", "destination"):
            self.buckets.create(bucket)
        self.make = make
        self.dlq = MemoryQueue("live-dlq", self.clock)
        self.queue = MemoryQueue("live", self.clock, max_receive_count=7, dead_letter_queue=self.dlq)
        queues = {"live": self.queue, "live-dlq": self.dlq}
        self.services = ServiceHandler(
            Settings.model_validate({"control_bucket": "control", "live_queue": "live", **settings}),
            clock=self.clock,
            stores=lambda bucket: self.make(self.buckets, bucket),
            queues=queues.__getitem__,
        )

    async def examine(
        self,
        *,
        without: Sequence[str] = ("backfill", "database"),
        registry: Registry = NO_JOBS,
        jobs: Sequence[str] = (),
        patience: timedelta = timedelta(seconds=20),
        connect: Callable[[], Any] | None = None,
    ) -> dict[str, Check]:
        buckets = {"source": "source", "destination": "destination"}
        request = Request(patience=patience, without=without, jobs=jobs, buckets=buckets)
        checks = await examine(self.services, request, nonce=lambda: "nonce", registry=registry, connect=connect)
        assert len(checks) == len({check.subject for check in checks})
        return {check.subject: check for check in checks}

    async def keys(self) -> list[str]:
        return [info.key async for info in self.buckets.store("control").list()]


async def test_a_safe_deployment_is_well_and_nothing_is_left_behind() -> None:
    world = World()
    await world.buckets.store("source").put("a", b"1")

    checks = await world.examine()

    assert {
        "control": "ok",
        "source": "ok",
        "destination": "ok",
        "silver": "skipped",
        "live": "ok",
        "live dead letters": "ok",
        "backfill": "skipped",
        "database": "skipped",
    } == {subject: check.state for subject, check in checks.items()}
    assert "control: may list, create, create once, compare, set, read, delete" == checks["control"].message
    assert "source: may list, read" == checks["source"].message
    assert "destination: may list; not tried: writing, reading (it is empty)" == checks["destination"].message
    assert "live: may count, extend, delete; not tried: send, receive; 0 waiting" in checks["live"].message
    assert [] == await world.keys()


async def test_the_bucket_of_the_tables_is_tried_like_the_control_bucket() -> None:
    world = World(silver_bucket="silver")
    world.buckets.create("silver")
    checks = await world.examine()
    assert "silver: may list, create, create once, compare, set, read, delete" == checks["silver"].message
    assert [] == [info.key async for info in world.buckets.store("silver").list()]


class ReplacingStore(MemoryStore):
    """Ignores the conditions of conditional writes, as some servers do."""

    async def put_if_absent(self, key: str, body: bytes, *, content_type: str | None = None) -> str:
        return (await self.put(key, body)).etag

    async def put_if_match(self, key: str, body: bytes, *, etag: str, content_type: str | None = None) -> str:
        return (await self.put(key, body)).etag


async def test_a_store_without_conditional_writes_is_unsafe_and_is_cleaned_up() -> None:
    world = World(ReplacingStore)

    check = (await world.examine())["control"]

    assert "unsafe" == check.state
    assert "control does not create only once (If-None-Match: *) nor compare and set (If-Match)" == check.message
    assert [] == await world.keys()


class ReadOnlyStore(MemoryStore):
    async def put_if_absent(self, key: str, body: bytes, *, content_type: str | None = None) -> str:
        raise AccessDenied("s3://control: AccessDenied")


async def test_a_missing_permission_is_named_with_what_is_allowed() -> None:
    check = (await World(ReadOnlyStore).examine())["control"]

    assert ("fault", "may list; may not create: s3://control: AccessDenied") == (check.state, check.message)


class ClingingStore(MemoryStore):
    async def delete(self, keys: Sequence[str]) -> BatchReport:
        raise AccessDenied("no delete")


async def test_a_store_that_keeps_what_is_to_be_deleted_is_a_fault() -> None:
    check = (await World(ClingingStore).examine())["control"]

    assert "fault" == check.state
    assert "may not delete" in check.message


class DeadStore(MemoryStore):
    def list(self, prefix: str = "", *, start_after: str = "") -> AsyncIterator[ObjectInfo]:
        raise Unreachable("no connection could be made")


class SlowStore(MemoryStore):
    async def head(self, key: str, *, version_id: str | None = None) -> ObjectInfo:
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")


async def test_a_service_that_is_down_or_does_not_answer_is_said_to_be_down() -> None:
    down = await World(DeadStore).examine()
    slow = World(SlowStore)
    await slow.buckets.store("source").put("a", b"1")
    waited_for = await slow.examine(patience=timedelta(milliseconds=50))

    assert ("down", "no connection could be made") == (down["control"].state, down["control"].message)
    assert ("down", "no answer within 0.05 s") == (waited_for["source"].state, waited_for["source"].message)
    assert "ok" == waited_for["control"].state


async def test_what_is_not_set_or_not_there_is_a_fault_with_its_way_out() -> None:
    checks = await World(control_bucket="nowhere").examine(without=())

    assert {"control": "fault", "backfill": "fault", "database": "fault"} == {
        subject: checks[subject].state for subject in ("control", "backfill", "database")
    }
    assert "set PIPELINE_BACKFILL_QUEUE to a queue's name or URL" == checks["backfill"].way_out
    assert "PIPELINE_DATABASE_URL" in checks["database"].way_out
    assert "there is no bucket 'nowhere'" in checks["control"].message


async def test_unsafe_sets_are_refused_each_with_its_reason() -> None:
    world = World(max_attempts=6, lease="30s", heartbeat="20s", drain="60s", grace="60s")

    checks = await world.examine()

    unsafe = {subject: check for subject, check in checks.items() if check.state == "unsafe"}
    assert {"live receives-exceed-attempts", "live lease-covers-heartbeats", "live drain-within-grace"} == set(unsafe)
    assert all(check.way_out for check in unsafe.values())


async def test_no_credentials_are_said_once_and_what_needs_them_is_not_looked_at() -> None:
    async def connect() -> str:
        raise ConfigError("no AWS credentials", where="S3", way_out="set AWS_ACCESS_KEY_ID")

    checks = await World().examine(connect=connect)

    assert ("fault", "S3: no AWS credentials") == (checks["aws"].state, checks["aws"].message)
    assert {"skipped"} == {check.state for subject, check in checks.items() if subject != "aws"}


async def test_faulty_jobs_and_jobs_without_a_definition_are_told() -> None:
    entry = JobEntry("local", "runs only here", lambda _: 0, "json")
    registry = Registry({"local": entry}, ("broken: it has no JOB",))

    every = await World().examine(registry=registry)
    one = await World().examine(registry=registry, jobs=["local"])
    unknown = await World().examine(registry=registry, jobs=["lokal"])

    assert ("fault", "broken: it has no JOB") == (every["jobs"].state, every["jobs"].message)
    assert "warning" == every["job local"].state
    assert "fault" == one["job local"].state
    assert ("fault", "did you mean local?") == (unknown["job lokal"].state, unknown["job lokal"].way_out)


@pytest.mark.parametrize(
    ("states", "code"),
    [
        (["ok", "skipped", "warning"], 0),
        (["ok", "down"], 1),
        (["down", "unsafe"], 2),
        (["fault"], 2),
        ([], 2),
    ],
)
def test_the_exit_code_says_who_must_act(states: Sequence[Any], code: int) -> None:
    assert code == doctor.exit_code([Check(str(number), state, "") for number, state in enumerate(states)])


def test_the_report_is_text_or_json(capsys: pytest.CaptureFixture[str]) -> None:
    checks = [Check("control", "ok", "may list"), Check("live", "fault", "no queue", "set one")]

    assert 2 == doctor.report(checks, as_json=False)
    text = capsys.readouterr().out
    assert "live     fault  no queue" in text
    assert "\nways out\nlive  set one\n" in text
    assert "1 ok, 1 fault: exit code 2, usage or configuration" in text

    assert 2 == doctor.report(checks, as_json=True)
    document = orjson.loads(capsys.readouterr().out)
    assert (2, "set one") == (document["exit_code"], document["checks"][1]["way_out"])


def test_all_faulty_settings_are_told_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PIPELINE_LEASE", "soon")
    monkeypatch.setenv("PIPELINE_MAX_ATTEMPTS", "0")

    assert 2 == doctor.main(["--json"])

    messages = [check["message"] for check in orjson.loads(capsys.readouterr().out)["checks"]]
    assert ["PIPELINE_LEASE", "PIPELINE_MAX_ATTEMPTS"] == [message.partition(":")[0] for message in messages]


def test_a_variable_that_sets_nothing_is_a_warning_with_what_was_meant() -> None:
    names = ["PIPELINE_LAESE", "PIPELINE_LEASE", "PIPELINE_LOCAL_DIR", "PIPELINE_TOOLS_DIR", "PIPELINE_XYZZY", "HOME"]
    found = {check.subject: (check.state, check.way_out) for check in doctor.strangers(names)}
    assert {
        "settings PIPELINE_LAESE": ("warning", "did you mean PIPELINE_LEASE?"),
        "settings PIPELINE_XYZZY": ("warning", "unset it"),
    } == found


def test_a_wrong_setting_is_said_without_the_validator_s_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_LEASE", "soon")
    with pytest.raises(ConfigError) as failure:
        load(Settings)
    expected = "settings: PIPELINE_LEASE: 'soon' is not a duration such as 90s, 5m, 2h or 14d"
    assert f"{expected} (correct these environment variables)" == str(failure.value)
