"""`pipeline-processing worker`: wires a worker together and runs it until it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import socket
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import structlog

from etl_core.errors import ConfigError, NotFound
from etl_core.health import HealthServer
from etl_core.lifecycle import StopSignals, leaving_within
from etl_core.queue.lease import LeaseKeeper
from etl_core.retry import Backoff
from etl_core.settings import load, parse_duration
from pipeline_processing.arguments import Parser
from pipeline_processing.cli.exits import DONE, FAILED, guarded
from pipeline_processing.control import Control
from pipeline_processing.deployment import as_running
from pipeline_processing.deployment.documents import from_document
from pipeline_processing.executor import Executor
from pipeline_processing.jobs.registry import discover, no_processor
from pipeline_processing.layout import runs_prefix
from pipeline_processing.messages import Claim
from pipeline_processing.runs import Cancellations
from pipeline_processing.safety import prove, unsafe
from pipeline_processing.service_handler import ServiceHandler
from pipeline_processing.settings import Settings
from pipeline_processing.settlement import RetryPolicy
from pipeline_processing.settler import Settler
from pipeline_worker.consumer import Consumer, Limits
from pipeline_worker.measures import Measures

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    from etl_core.queue import Queue
    from pipeline_processing.deployment import Deployment
    from pipeline_processing.messages import ItemMessage
    from pipeline_processing.model import Item, Processor

LEAVE_WITHIN: Final = 2.0
"""Seconds that an item which ignored its cancellation, or whose thread goes on, may hold the exit up."""

log = structlog.get_logger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a worker until it is told to stop, or has nothing left to do where that was asked for; exit code."""
    options = parse(argv)
    return guarded(lambda: _run_loop(options))


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read what was typed, and do nothing else."""
    return _parser().parse_args(argv)


def _run_loop(options: argparse.Namespace) -> int:
    runner, code = asyncio.Runner(loop_factory=_loop_factory()), FAILED
    try:
        runner.run(_work(options))
        code = DONE
    finally:
        with leaving_within(LEAVE_WITHIN, code):
            runner.close()
    return code


async def _work(options: argparse.Namespace) -> None:
    settings = _settings(options)
    async with StopSignals() as signals, ServiceHandler.for_process(settings) as services:
        processors = load_processors(services)
        limits = _limits(options, settings, processors)
        queue, dead_letters = await _queues(options, services)
        await _refuse_unsafe(settings, queue, dead_letters)
        await _reach_the_records(services)
        measures = Measures(processors)
        policy = await queue.policy()
        consumer = wire(
            services,
            queue,
            dead_letters,
            processors,
            limits,
            measures=measures,
            receive_limit=policy.max_receive_count,
        )
        probes = HealthServer(
            consumer,
            measures.registry,
            host=settings.health_host,
            port=settings.health_port,
            variable="PIPELINE_HEALTH_PORT",
        )
        async with probes:
            log.info("worker.started", queue=queue.name, processors=sorted(processors), concurrency=limits.concurrency)
            await consumer.run(signals.requested)
        log.info("worker.stopped", queue=queue.name)


def wire(
    services: ServiceHandler,
    queue: Queue,
    dead_letters: Queue,
    processors: Mapping[str, Processor],
    limits: Limits,
    *,
    measures: Measures,
    receive_limit: int | None = None,
    jitter: Callable[[], float] = random.random,
) -> Consumer:
    """Return a consumer of ``queue``, which itself buries what it handed out ``receive_limit`` times; no connection."""
    settings, clock = services.settings, services.clock
    worker = f"{socket.gethostname()}-{os.getpid()}"
    control = Control(services.control, settings.control_prefix, clock, jitter, _nonce)
    executor = Executor(
        processors,
        control.records,
        resolve=_resolver(control),
        is_cancelled=Cancellations(control.runs, clock).is_cancelled,
        worker=worker,
        clock=clock,
        nonce=_nonce,
    )
    policy = RetryPolicy(settings.max_attempts, Backoff(settings.backoff_base, settings.backoff_cap), receive_limit)
    settler = Settler(queue, dead_letters, control.records, policy=policy, worker=worker, clock=clock, jitter=jitter)
    keeper = LeaseKeeper(queue, lease=limits.lease, heartbeat=settings.heartbeat, clock=clock)
    return Consumer(queue, executor, settler, keeper, limits, measures=measures, clock=clock, jitter=jitter)


def load_processors(services: ServiceHandler) -> dict[str, Processor]:
    """Return the processors of every job by name; a job that only runs in its own process has none here."""
    registry = discover()
    for fault in registry.faults:
        log.warning("job.faulty", error=fault)
    return registry.processors(
        services, without=lambda name, reason: log.info("job.not_for_workers", job=name, reason=str(reason))
    )


async def _queues(options: argparse.Namespace, services: ServiceHandler) -> tuple[Queue, Queue]:
    if options.queue is None or options.queue in services.settings.lanes:
        lane = await services.lane(options.queue or options.lane)
        return lane.queue, lane.dead_letters
    queue = services.queue(options.queue)
    policy = await queue.policy()
    if not policy.dead_letter_queue:
        raise ConfigError(
            f"queue {queue.name} has no dead-letter queue",
            where="--queue",
            way_out="give it a redrive policy with maxReceiveCount ≥ attempts + 2",
        )
    return queue, services.queue(policy.dead_letter_queue)


async def _refuse_unsafe(settings: Settings, queue: Queue, dead_letters: Queue) -> None:
    """Prove what is known of this worker: its whole deployment where one is named, with the queues as they really are.

    What is unsafe elsewhere in the deployment is told, and does not keep this worker from its work.
    """
    policy, dead_policy = await queue.policy(), await dead_letters.policy()
    findings, ours = unsafe(settings, policy, dead_policy), {"pool this worker", "lane this"}
    if settings.deployment:
        deployment, pool = as_running(_described(settings.deployment), settings, policy, dead_policy)
        findings, ours = prove(deployment), {f"pool {pool.name}", f"lane {pool.lane}", "limits"}
    faults = [finding for finding in findings if finding.severity == "unsafe" and finding.where in ours]
    for finding in findings:
        if finding not in faults:
            log.warning(
                "settings.doubtful",
                rule=finding.rule,
                reason=f"{finding.where}: {finding.message}",
                way_out=finding.fix,
            )
    if faults:
        raise ConfigError(
            "; ".join(f"{fault.message}: {fault.reason}" for fault in faults),
            where=f"queue {queue.name}",
            way_out="; ".join(fault.fix for fault in faults),
        )


def _described(path: Path) -> Deployment:
    """Return the deployment; a fault in a schedule is told, and keeps no worker from its work."""
    try:
        return from_document(path)
    except ConfigError as error:
        deployment = from_document(path, without=("scheduleDefaults", "schedules"))
        log.warning("settings.doubtful", rule="schedules", reason=str(error), way_out=error.way_out)
        return deployment


async def _reach_the_records(services: ServiceHandler) -> None:
    """Raise before the first delivery what would else leave each one unrecorded: no control bucket, or denied."""
    async for _ in services.control.list(runs_prefix(services.settings.control_prefix)):
        break
    if services.settings.database_url is None:
        log.warning("settings.doubtful", rule="no-database", way_out="set PIPELINE_DATABASE_URL where jobs need it")


def _resolver(control: Control) -> Callable[[ItemMessage], Awaitable[Item]]:
    async def resolve(message: ItemMessage) -> Item:
        if not isinstance(message.payload, Claim):
            return message.item()
        part = message.payload.part
        if not part.startswith(control.layout(message.run_id).root):
            raise NotFound(f"the claim of item {message.item_id} points out of run {message.run_id}")
        return await control.manifests(message.run_id).read_item(part, message.item_id)

    return resolve


def _settings(options: argparse.Namespace) -> Settings:
    given = {
        "worker_concurrency": options.concurrency,
        "worker_receivers": options.receivers,
        "health_port": options.health_port,
    }
    return load(Settings, **{name: value for name, value in given.items() if value is not None})


def _limits(options: argparse.Namespace, settings: Settings, processors: Mapping[str, Processor]) -> Limits:
    per_processor = dict(options.processor_concurrency)
    for name in per_processor:
        if name not in processors:
            raise no_processor(name, processors, where="--processor-concurrency")
    return Limits(
        lease=settings.lease,
        wait=settings.receive_wait,
        drain=settings.drain,
        grace=settings.grace,
        concurrency=settings.worker_concurrency,
        processors=per_processor,
        receivers=settings.worker_receivers,
        max_idle=options.max_idle,
        until_empty=options.drain_empty,
        max_items=options.max_items,
    )


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="pipeline-processing worker",
        description="Work on a lane's queue until told to stop. SIGTERM or SIGINT: take no more, finish or give back"
        " what is held, exit 0; a second one: exit 130 at once.",
    )
    parser.add_argument("--lane", default="live", metavar="NAME", help="whose queue (default: live)")
    parser.add_argument("--queue", metavar="NAME_OR_URL", help="a queue, or a lane's name, instead of --lane")
    parser.add_argument("--concurrency", type=int, metavar="N", help="items in work at once")
    parser.add_argument(
        "--processor-concurrency",
        type=_named_limit,
        action="append",
        default=[],
        metavar="NAME=N",
        help="items of one processor in work at once; may be repeated",
    )
    parser.add_argument("--receivers", type=int, metavar="N", help="long polls at once")
    parser.add_argument("--health-port", type=int, metavar="N", help="/healthz, /readyz, /metrics; 0: any free port")
    parser.add_argument(
        "--max-idle", type=_duration, metavar="DURATION", help="exit 0 when idle for so long, as in 30s"
    )
    parser.add_argument(
        "--once", "--drain-empty", dest="drain_empty", action="store_true", help="exit 0 when the queue is empty"
    )
    parser.add_argument(
        "--max-items",
        type=_count,
        metavar="N",
        help="take N deliveries, or those that are there, finish each however long it takes, exit 0: for a job's pod",
    )
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a count of 1 or more")
    return int(text)


def _named_limit(text: str) -> tuple[str, int]:
    name, equals, number = text.rpartition("=")
    if not equals or not name or not number.isdecimal() or int(number) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=N with N ≥ 1")
    return name, int(number)


def _duration(text: str) -> timedelta:
    try:
        duration = parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if not isinstance(duration, timedelta) or not duration:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration above zero")
    return duration


def _nonce() -> str:
    return uuid4().hex


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - there is none for Windows
    except ImportError:
        return None
    return uvloop.new_event_loop
