"""A run's record: whose it is and how far it is. A change is compare-and-set and names the state it leaves."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, Self, get_args

import orjson

from etl_core.errors import ConfigError, NotFound, PreconditionFailed, ReplyLost, Transient
from etl_core.objects.create import create_once
from etl_core.retry import Backoff
from pipeline_processing.layout import RUN_ID, RunLayout, run_id_of, runs_prefix
from pipeline_processing.model import canonical_json

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from etl_core.clock import Clock
    from etl_core.objects import Blob, ObjectStore
    from pipeline_processing.model import Json

VERSION: Final = 1
TRIES: Final = 6
BACKOFF: Final = Backoff(base=timedelta(milliseconds=100), cap=timedelta(seconds=2))

RunState = Literal["planning", "planned", "scattered", "gathering", "published", "partial", "cancelled"]

TRANSITIONS: Final[Mapping[RunState, frozenset[RunState]]] = {
    "planning": frozenset({"planned", "cancelled"}),
    # Planned to planned is the beginning of a scatter: a later one knows by it that messages may be out already.
    "planned": frozenset({"planned", "scattered", "gathering", "cancelled"}),
    "scattered": frozenset({"gathering", "cancelled"}),
    # Gathering to gathering is a second gather taking over: the first can not end the run any more, so only one does.
    "gathering": frozenset({"gathering", "published", "partial"}),
    # What is over is gathered again when a redrive brought late items.
    "published": frozenset({"gathering"}),
    "partial": frozenset({"gathering", "cancelled"}),
    "cancelled": frozenset(),
}
OVER: Final = frozenset[RunState]({"published", "partial", "cancelled"})


class Superseded(Transient):
    """Somebody else changed the run first; ``current`` is what it is now."""

    def __init__(self, current: Run) -> None:
        self.current = current
        super().__init__(f"run {current.run_id} was changed by another controller; it is {current.state} now")


@dataclass(frozen=True, slots=True)
class Run:
    """One run, as its ``run.json`` says. ``spec`` is the job's parameters; ``etag`` is the stored record's."""

    run_id: str
    job: str
    spec: Mapping[str, Json]
    state: RunState
    nonce: str
    created_at: str
    code_version: str
    revision: int = 1
    lane: str | None = None
    """The lane that the run was meant for when it was created; None for a run within one process."""
    is_plan_only: bool = False
    """Whether it was planned alone: nothing is sent before somebody asks for it."""
    scatters: int = 0
    """How many scatters have begun."""
    tolerance: str = "0"
    """Failed inputs that were last asked to be tolerated."""
    manifest_sha256: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    commits: tuple[str, ...] = ()
    """What each publish committed, oldest first; more than one only when late items came."""
    entered: Mapping[str, str] = field(default_factory=dict)
    """When each state was last entered: ISO 8601, UTC."""
    rolled_back_at: str | None = None
    """When what it published was taken back out of its tables, which know it themselves: a note, no state."""
    etag: str = field(default="", compare=False)

    def encode(self) -> bytes:
        """Return the stored form."""
        document = asdict(self)
        del document["etag"]
        if self.rolled_back_at is None:  # so that code which does not know it reads all other records
            del document["rolled_back_at"]
        return orjson.dumps({"v": VERSION, **document}, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)

    @classmethod
    def decode(cls, body: bytes, *, key: str, etag: str) -> Self:
        """Return the run, or raise ConfigError naming ``key``."""
        try:
            document = orjson.loads(body)
            version, state = document.pop("v"), document["state"]
            run = cls(**{**document, "commits": tuple(document["commits"]), "etag": etag})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise _unreadable(key, "not a run's record") from error
        if version != VERSION or state not in get_args(RunState):
            raise _unreadable(key, f"version {version}, state {state!r}: written by another version of this code")
        return run


def default_run_id(job: str, spec: Mapping[str, Json], scheduled: datetime) -> str:
    """Return the id of the job's run for that time and these parameters: the same schedule resumes the same run.

    >>> default_run_id("get_s3_files", {}, datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC))
    'get_s3_files-20300102T030405Z-d905e156'
    """
    digest = hashlib.blake2b(canonical_json(spec), digest_size=4).hexdigest()
    return f"{job}-{scheduled.astimezone(UTC):%Y%m%dT%H%M%SZ}-{digest}"


class Runs:
    """The run records under one prefix. ``nonce`` returns a new unique text a call, ``jitter`` a number in [0, 1)."""

    def __init__(
        self,
        store: ObjectStore,
        prefix: str,
        clock: Clock,
        *,
        jitter: Callable[[], float],
        nonce: Callable[[], str],
    ) -> None:
        self._store, self._prefix, self._clock = store, prefix, clock
        self._jitter, self._nonce = jitter, nonce

    def layout(self, run_id: str) -> RunLayout:
        """Return the run's keys; ConfigError for an id that can not be one."""
        if not RUN_ID.fullmatch(run_id):
            raise ConfigError(
                f"{run_id!r} can not be a run's id",
                where="--run-id",
                way_out="use 1 to 128 letters, digits, '.', '_' and '-', a letter or digit first",
            )
        return RunLayout(self._prefix, run_id)

    async def open(
        self,
        run_id: str,
        job: str,
        spec: Mapping[str, Json],
        *,
        code_version: str,
        lane: str | None = None,
        tolerance: str = "0",
        is_plan_only: bool = False,
    ) -> Run:
        """Create the run, or resume it; ConfigError where the id is another job's or another specification's.

        ``lane``, ``tolerance`` and ``is_plan_only`` are a new run's; one that is resumed keeps its own.
        """
        now = self._clock.now().isoformat()
        run = Run(
            run_id,
            job,
            spec,
            "planning",
            self._nonce(),
            now,
            code_version,
            lane=lane,
            tolerance=tolerance,
            is_plan_only=is_plan_only,
            entered={"planning": now},
        )
        body = run.encode()
        key = self.layout(run_id).run
        try:
            found = await self._store.get(key)
        except NotFound:
            await create_once(
                self._store,
                key,
                body,
                is_own=lambda there: there == body,
                clock=self._clock,
                jitter=self._jitter,
            )
            found = await self._store.get(key)
        current = self._decode(found, key)
        _check_owner(current, job, spec)
        return current

    async def find(self, run_id: str) -> Run | None:
        """Return the run, or None where there is none."""
        key = self.layout(run_id).run
        try:
            found = await self._store.get(key)
        except NotFound:
            return None
        return self._decode(found, key)

    async def load(self, run_id: str) -> Run:
        """Return the run; ConfigError where there is none."""
        run = await self.find(run_id)
        if run is None:
            raise ConfigError(
                f"there is no run {run_id}",
                where=f"s3://{self._store.bucket}/{self.layout(run_id).root}",
                way_out="`controller status --all` lists the runs",
            )
        return run

    async def list(self) -> AsyncIterator[str]:
        """Yield the id of every run, in order; one request a run, however many objects it has."""
        prefix, after = runs_prefix(self._prefix), ""
        while True:
            async for info in self._store.list(prefix, start_after=after):
                run_id = run_id_of(self._prefix, info.key)
                after = info.key if run_id is None else RunLayout(self._prefix, run_id).past
                break
            else:
                return
            if run_id is not None:
                yield run_id

    async def move(self, run: Run, to: RunState, *, leaving: RunState, **changes: Any) -> Run:  # noqa: ANN401 - Run's fields
        """Change the run from ``leaving`` to ``to``.

        Superseded when the stored record is not ``run`` any more; ConfigError when ``run`` is not in ``leaving``, or
        there is no such step.
        """
        if run.state != leaving or to not in TRANSITIONS[leaving]:
            raise ConfigError(f"run {run.run_id} is {run.state}: it can not go from {leaving} to {to}")
        key = self.layout(run.run_id).run
        moved = replace(
            run,
            state=to,
            revision=run.revision + 1,
            nonce=self._nonce(),
            entered={**run.entered, to: self._clock.now().isoformat()},
            **changes,
        )
        return await self._swap(key, moved, run.etag)

    async def note_rolled_back(self, run_id: str) -> Run | None:
        """Note once that the run's publish was taken back; state and revision stay. None where there is no record."""
        run = await self.find(run_id)
        while run is not None and run.rolled_back_at is None:
            noted = replace(run, rolled_back_at=self._clock.now().isoformat())
            try:
                run = await self._swap(self.layout(run_id).run, noted, run.etag)
            except Superseded as lost:
                run = lost.current
        return run

    async def cancel(self, run_id: str) -> Run:
        """Cancel the run: its items are dropped without work from then on. ConfigError where it is too late."""
        run = await self.load(run_id)
        while run.state != "cancelled":
            if "cancelled" not in TRANSITIONS[run.state]:
                raise ConfigError(
                    f"run {run_id} is {run.state}: it can not be cancelled any more",
                    where="cancel",
                    way_out="nothing is to be done" if run.state == "published" else "gather it to its end",
                )
            try:
                run = await self.move(run, "cancelled", leaving=run.state)
            except Superseded as lost:
                run = lost.current
        return run

    async def _swap(self, key: str, run: Run, etag: str) -> Run:
        body = run.encode()
        fault: Transient | None = None
        for attempt in range(1, TRIES + 1):
            try:
                return replace(run, etag=await self._store.put_if_match(key, body, etag=etag))
            except (PreconditionFailed, ReplyLost) as error:
                found = await self._store.get(key)
                if found.body == body:
                    return replace(run, etag=found.info.etag)
                # After a lost reply the old record may still stand because the write is under way: trying again tells.
                if isinstance(error, PreconditionFailed) or found.info.etag != etag:
                    raise Superseded(self._decode(found, key)) from error
                fault = error
            except Transient as error:
                fault = error
            await self._clock.sleep(BACKOFF.delay(attempt, self._jitter()))
        raise Transient(f"could not write {key} in {TRIES} tries: {fault}") from fault

    def _decode(self, found: Blob, key: str) -> Run:
        return Run.decode(found.body, key=f"s3://{self._store.bucket}/{key}", etag=found.info.etag)


class Cancellations:
    """Says whether a run is cancelled; asks the store once in ``ttl`` a run, however many items ask.

    A run that can not be read counts as not cancelled: the work is then wasted, not wrong.
    """

    def __init__(self, runs: Runs, clock: Clock, *, ttl: timedelta = timedelta(seconds=15)) -> None:
        self._runs, self._clock, self._ttl = runs, clock, ttl
        self._answers: dict[str, tuple[float, asyncio.Task[bool]]] = {}

    async def is_cancelled(self, run_id: str) -> bool:
        """Say whether the run is cancelled, as of at most ``ttl`` ago."""
        now = self._clock.monotonic()
        asked, answer = self._answers.get(run_id, (0.0, None))
        if answer is None or now - asked >= self._ttl.total_seconds():
            self._answers = {
                known: (at, task) for known, (at, task) in self._answers.items() if now - at < self._ttl.total_seconds()
            }
            answer = asyncio.create_task(self._ask(run_id))
            self._answers[run_id] = (now, answer)
        return await asyncio.shield(answer)

    async def _ask(self, run_id: str) -> bool:
        try:
            return (await self._runs.load(run_id)).state == "cancelled"
        except (ConfigError, Transient):
            return False


def _check_owner(run: Run, job: str, spec: Mapping[str, Json]) -> None:
    way_out = "use another --run-id, or the same arguments as before"
    if run.job != job:
        raise ConfigError(f"run {run.run_id} belongs to job {run.job}, not to {job}", where="--run-id", way_out=way_out)
    if canonical_json(run.spec) != canonical_json(spec):
        differing = [
            f"{name} was {_said(run.spec, name)} and is {_said(spec, name)}"
            for name in sorted({*run.spec, *spec})
            if _said(run.spec, name) != _said(spec, name)
        ]
        raise ConfigError(
            f"run {run.run_id} was started with other arguments: {', '.join(differing)}",
            where="--run-id",
            way_out=way_out,
        )


def _said(spec: Mapping[str, Json], name: str) -> str:
    return canonical_json(spec[name]).decode() if name in spec else "not given"


def _unreadable(key: str, what: str) -> ConfigError:
    return ConfigError(what, where=key, way_out="restore the object, or start a run with a new --run-id")
