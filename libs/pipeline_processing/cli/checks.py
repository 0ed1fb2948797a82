"""What the doctor looks at: each service is reached, each permission tried where trying it harms nothing."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final, Literal, TypeVar

from etl_core.errors import AccessDenied, ConfigError, EtlError, PreconditionFailed, Transient
from pipeline_processing.jobs.registry import Registry, discover
from pipeline_processing.layout import probe
from pipeline_processing.safety import unsafe

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

    from etl_core.objects import ObjectStore
    from etl_core.queue import Queue
    from pipeline_processing.service_handler import ServiceHandler

T = TypeVar("T")

State = Literal["ok", "warning", "unsafe", "fault", "down", "skipped"]

NOBODY: Final = ""
"""An agency that does not exist: queries are prepared and run for it, and return nothing."""
NO_RECEIPT: Final = "doctor"
"""A receipt that no message has: what may be done with it is answered, and nothing happens."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: what it is, how it is, what may be done with it, and the way out."""

    subject: str
    state: State
    message: str
    way_out: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """What to look at besides the settings. ``without`` names subjects that this deployment does not have."""

    patience: timedelta
    """The longest that one check may take before its service counts as down."""
    without: Collection[str] = ()
    jobs: Sequence[str] = ()
    buckets: Mapping[str, str | None] = field(default_factory=dict)
    """Source and destination, by what the settings call them."""


SUBJECTS: Final = ("control", "source", "destination", "silver", "live", "backfill", "database")


class _Denied(Exception):  # noqa: N818 - never leaves this module
    """A permission is missing; ``allowed`` is what was allowed before."""

    def __init__(self, allowed: Sequence[str], wanted: str, error: AccessDenied) -> None:
        self.allowed, self.wanted, self.error = allowed, wanted, error
        super().__init__(wanted)


async def examine(
    services: ServiceHandler,
    request: Request,
    *,
    nonce: Callable[[], str],
    connect: Callable[[], Awaitable[str]] | None = None,
    registry: Registry | None = None,
) -> list[Check]:
    """Look at everything, at once; never raises for what it finds. ``connect`` finds region and credentials first."""
    registry, settings = registry or discover(), services.settings
    aws = await _guarded("aws", lambda: _connect(connect), request) if connect else []
    if any(check.state != "ok" for check in aws):
        needing = [subject for subject in SUBJECTS if subject not in {"database", *request.without}]
        aws += [Check(subject, "skipped", "not looked at: AWS can not be used") for subject in needing]
    looks: dict[str, Callable[[], Awaitable[list[Check]]]] = {
        "control": lambda: _conditional("control", services.control, probe(settings.control_prefix, nonce())),
        "source": lambda: _bucket(services, "source", request.buckets.get("source")),
        "destination": lambda: _bucket(services, "destination", request.buckets.get("destination")),
        "silver": lambda: _silver(services, nonce()),
        "live": lambda: _lane(services, "live"),
        "backfill": lambda: _lane(services, "backfill"),
        **{name: partial(_lane, services, name) for name in settings.queues},
        "database": lambda: _database(services),
    }
    seen = {check.subject for check in aws}
    wanted = {subject: look for subject, look in looks.items() if subject not in {*request.without, *seen}}
    found = await asyncio.gather(*(_guarded(subject, look, request) for subject, look in wanted.items()))
    left_out = [
        Check(subject, "skipped", "left out by --without") for subject in SUBJECTS if subject in request.without
    ]
    return [*aws, *(check for checks in found for check in checks), *left_out, *_jobs(services, registry, request)]


async def _guarded(  # noqa: PLR0911 - one return an error is what makes it readable
    subject: str, look: Callable[[], Awaitable[list[Check]]], request: Request
) -> list[Check]:
    try:
        async with asyncio.timeout(request.patience.total_seconds()):
            return await look()
    except TimeoutError:
        return [Check(subject, "down", f"no answer within {request.patience.total_seconds():g} s")]
    except _Denied as denied:
        allowed = f"may {', '.join(denied.allowed)}; " if denied.allowed else ""
        return [Check(subject, "fault", f"{allowed}may not {denied.wanted}: {denied.error}", "allow it")]
    except ConfigError as error:
        return [Check(subject, "fault", f"{error.where}: {error.what}" if error.where else error.what, error.way_out)]
    except Transient as error:
        return [Check(subject, "down", str(error), "see that it is up and can be reached from here")]
    except EtlError as error:
        return [Check(subject, "fault", str(error))]
    except ModuleNotFoundError as error:
        return [Check(subject, "fault", str(error), "install the extra that it belongs to: db, local")]


async def _connect(connect: Callable[[], Awaitable[str]] | None) -> list[Check]:
    return [Check("aws", "ok", await connect())] if connect else []


async def _silver(services: ServiceHandler, nonce: str) -> list[Check]:
    """Look at the tables' bucket as at the control bucket: a commit is one object that is created once."""
    bucket, prefix = services.settings.silver_bucket, services.settings.silver_prefix
    if not bucket:
        message = "no silver bucket: bronze_to_silver needs --silver-bucket"
        return [Check("silver", "skipped", message, "set PIPELINE_SILVER_BUCKET where there are tables")]
    return await _conditional("silver", services.store(bucket), probe(prefix, nonce))


async def _conditional(subject: str, store: ObjectStore, key: str) -> list[Check]:
    """Really write: that creation happens once is what the whole product rests on (laws 3 and 4)."""
    allowed: list[str] = []
    await _try("list", lambda: _first_key(store), allowed)
    etag = await _try("create", lambda: store.put_if_absent(key, b"1"), allowed)
    try:
        once = await _try("create once", lambda: _is_refused(store.put_if_absent(key, b"2")), allowed)
        other = "0" * 32
        matched = await _try("compare", lambda: _is_refused(store.put_if_match(key, b"3", etag=other)), allowed)
        promises = {"create only once (If-None-Match: *)": once, "compare and set (If-Match)": matched}
        broken = [promise for promise, is_kept in promises.items() if not is_kept]
        if not broken:
            await _try("set", lambda: store.put_if_match(key, b"4", etag=etag), allowed)
        await _try("read", lambda: store.get(key), allowed)
    finally:
        await _try("delete", lambda: _delete(store, key), allowed)
    if broken:
        way_out = "use a store that honours conditional writes, as S3 does: without them two writers both win"
        return [Check(subject, "unsafe", f"{store.bucket} does not {' nor '.join(broken)}", way_out)]
    return [Check(subject, "ok", f"{store.bucket}: may {', '.join(allowed)}")]


async def _bucket(services: ServiceHandler, subject: str, bucket: str | None) -> list[Check]:
    if not bucket:
        message = f"no default {subject} bucket: jobs need --{subject}-bucket"
        return [Check(subject, "skipped", message, f"set PIPELINE_{subject.upper()}_BUCKET, or give it to the doctor")]
    store = services.store(bucket)
    allowed: list[str] = []
    key = await _try("list", lambda: _first_key(store), allowed)
    untried = [] if subject == "source" else ["writing"]
    if key is None:
        untried.append("reading (it is empty)")
    else:
        await _try("read", lambda: store.head(key), allowed)
    note = f"; not tried: {', '.join(untried)}" if untried else ""
    return [Check(subject, "ok", f"{bucket}: may {', '.join(allowed)}{note}")]


async def _lane(services: ServiceHandler, name: str) -> list[Check]:
    lane = await services.lane(name)
    policy, dead_policy = await lane.queue.policy(), await lane.dead_letters.policy()
    checks = [await _queue(name, lane.queue), await _queue(f"{name} dead letters", lane.dead_letters)]
    findings = unsafe(services.settings, policy, dead_policy)
    return checks + [
        Check(f"{name} {finding.rule}", finding.severity, f"{finding.message}: {finding.reason}", finding.fix)
        for finding in findings
    ]


async def _queue(subject: str, queue: Queue) -> Check:
    allowed: list[str] = []
    depth = await _try("count", queue.depth, allowed)
    await _try("extend", lambda: queue.extend([NO_RECEIPT], timedelta(0)), allowed)
    await _try("delete", lambda: queue.delete([NO_RECEIPT]), allowed)
    counts = f"{depth.visible:,} waiting, {depth.in_flight:,} in flight, {depth.delayed:,} delayed"
    return Check(subject, "ok", f"{queue.name}: may {', '.join(allowed)}; not tried: send, receive; {counts}")


async def _database(services: ServiceHandler) -> list[Check]:
    attachments, employment = services.attachments, services.employment_history
    agencies = await attachments.agencies()
    async with aclosing(attachments.get_attachment_files_for_s3_processing(NOBODY)) as files:
        await anext(files, None)
    async with aclosing(employment.rows(NOBODY)) as rows:
        await anext(rows, None)
    source = services.settings.queries_dir or "the built-in queries"
    return [Check("database", "ok", f"{source} prepare and run; {len(agencies):,} agencies")]


async def _try(what: str, call: Callable[[], Awaitable[T]], allowed: list[str]) -> T:
    """Note that ``what`` is allowed, or raise _Denied with what was."""
    try:
        answer = await call()
    except AccessDenied as error:
        raise _Denied(allowed, what, error) from error
    allowed.append(what)
    return answer


async def _is_refused(write: Awaitable[object]) -> bool:
    try:
        await write
    except PreconditionFailed:
        return True
    return False


async def _first_key(store: ObjectStore) -> str | None:
    async for info in store.list():
        return info.key
    return None


async def _delete(store: ObjectStore, key: str) -> None:
    report = await store.delete([key])
    for failure in report.failed:
        raise AccessDenied(f"{store.bucket}/{key}: {failure.code} {failure.message}")


def _jobs(services: ServiceHandler, registry: Registry, request: Request) -> list[Check]:
    checks = [Check("jobs", "fault", fault) for fault in registry.faults]
    for name in request.jobs or registry.jobs:
        try:
            processors = registry.load(name).processors(services)
        except ConfigError as error:
            is_local = name in registry.jobs and not request.jobs
            state: State = "warning" if is_local else "fault"
            checks.append(Check(f"job {name}", state, error.what, error.way_out))
        else:
            names = ", ".join(processor.name for processor in processors)
            checks.append(Check(f"job {name}", "ok", f"processors: {names}"))
    return checks
