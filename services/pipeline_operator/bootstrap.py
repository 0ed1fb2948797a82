"""`pipeline-processing dlq list|show|redrive|monitor`: arguments in, parts wired, answers out."""

from __future__ import annotations

import argparse
import asyncio
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from etl_core.errors import ConfigError
from etl_core.health import HealthServer
from etl_core.lifecycle import StopSignals, leaving_within
from etl_core.settings import load, parse_duration
from pipeline_operator.measures import registry_of
from pipeline_operator.monitor import Monitor, Watch
from pipeline_operator.redrive import Redrive, Selection, Tally
from pipeline_operator.reports import list_letters, print_lanes, print_no_match, print_tally, show_letters
from pipeline_processing.arguments import Parser
from pipeline_processing.cli.exits import DONE, FAILED, PARTLY, USAGE, guarded
from pipeline_processing.cli.terminal import confirmed
from pipeline_processing.records import Records
from pipeline_processing.service_handler import ServiceHandler
from pipeline_processing.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline_processing.service_handler import Lane

LIST_LIMIT: Final = 10_000
INTERVAL: Final = timedelta(seconds=60)
LEAVE_WITHIN: Final = 2.0
"""Seconds that the last steps of a monitor may take."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one dlq command; return an exit code."""
    options = parse(argv)
    if options.command == "monitor" and not options.once:
        return guarded(lambda: _run_loop(options))
    return guarded(lambda: asyncio.run(_open_and_run(options)))


async def run(argv: Sequence[str], services: ServiceHandler) -> int:
    """Run one dlq command with parts that are there already; return an exit code."""
    return await _run(parse(argv), services)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read what was typed, and do nothing else."""
    return _parser().parse_args(argv)


def _run_loop(options: argparse.Namespace) -> int:
    """Run what prints nothing; a thread that still looks a name up, as in an outage, does not hold the exit up."""
    runner, code = asyncio.Runner(), FAILED
    try:
        code = runner.run(_open_and_run(options))
    finally:
        with leaving_within(LEAVE_WITHIN, code):
            runner.close()
    return code


async def _open_and_run(options: argparse.Namespace) -> int:
    port = getattr(options, "health_port", None)
    settings = load(Settings) if port is None else load(Settings, health_port=port)
    async with ServiceHandler.for_process(settings) as services:
        return await _run(options, services)


async def _run(options: argparse.Namespace, services: ServiceHandler) -> int:
    if options.command == "monitor":
        return await _monitor(options, services)
    lane = await services.lane(options.lane)
    if options.command == "list":
        return await list_letters(lane, services.clock, limit=options.limit, as_json=options.json)
    records = Records(services.control, services.settings.control_prefix, services.clock, services.jitter)
    if options.command == "show":
        return await show_letters(
            options.target,
            lane,
            records,
            services.clock,
            run_id=options.run_id,
            examples=options.examples,
            as_json=options.json,
        )
    return await _redrive(options, lane, records, services)


async def _monitor(options: argparse.Namespace, services: ServiceHandler) -> int:
    watches = [Watch(name, services) for name in _lanes(options, services)]
    monitor = Monitor(watches, services.clock, options.interval)
    if options.once:
        await monitor.refresh()
        return print_lanes(watches, services.clock, as_json=options.json)
    if options.json:
        raise ConfigError(
            "a monitor that stays prints nothing",
            where="dlq monitor --json",
            way_out="say --once too, or read /metrics",
        )
    settings, registry = services.settings, registry_of(watches, services.clock)
    probes = HealthServer(
        monitor, registry, host=settings.health_host, port=settings.health_port, variable="PIPELINE_HEALTH_PORT"
    )
    async with StopSignals() as signals, probes:
        await monitor.run(signals.requested)
    return DONE


def _lanes(options: argparse.Namespace, services: ServiceHandler) -> list[str]:
    """Return the lanes that were named, else all that are configured; ConfigError where there is none."""
    found: list[str] = list(dict.fromkeys(options.lane or services.settings.lanes))
    if not found:
        raise ConfigError(
            "no lane has a queue", where="dlq monitor", way_out="set PIPELINE_LIVE_QUEUE or PIPELINE_BACKFILL_QUEUE"
        )
    for name in found:
        services.lane_address(name)
    return found


async def _redrive(options: argparse.Namespace, lane: Lane, records: Records, services: ServiceHandler) -> int:
    selection = Selection(
        options.fingerprint, options.run_id, options.agency, options.processor, options.item, everything=options.all
    )
    if selection.is_empty():
        raise ConfigError(
            "nothing was chosen",
            where="dlq redrive",
            way_out="give --fingerprint, --run-id, --agency, --processor or --item, or --all",
        )
    if not (options.dry_run or options.yes):
        if options.json or not sys.stdin.isatty():
            raise ConfigError(
                "there is nobody to ask", where="dlq redrive", way_out="say --yes, or look first with --dry-run"
            )
        preview = Redrive(lane, records, services.clock, forced=options.force)
        await preview.run(selection, limit=options.limit, dry_run=True)
        print_tally(preview.tally, lane, dry_run=True, as_json=False)
        count = preview.tally.redriven + preview.tally.already_done
        if not count:
            return _concluded(preview.tally, selection, lane)
        if not await asyncio.to_thread(confirmed, f"Redrive these {count:,}?"):
            return DONE
    redrive = Redrive(
        lane,
        records,
        services.clock,
        forced=options.force,
        rate=options.rate,
        on_progress=_progress if sys.stderr.isatty() else lambda _: None,
    )
    try:
        await redrive.run(selection, limit=options.limit, dry_run=options.dry_run)
    finally:  # interrupted or not: what was done is said
        print_tally(redrive.tally, lane, dry_run=options.dry_run, as_json=options.json)
    return _concluded(redrive.tally, selection, lane)


def _concluded(tally: Tally, selection: Selection, lane: Lane) -> int:
    """Return the exit code; that nothing matches is said only where every letter was looked at."""
    if tally.is_complete:
        if tally.has_matches or not selection.is_narrow():
            return DONE
        print_no_match(tally, lane)
        return USAGE
    return PARTLY if tally.redriven or tally.already_done or tally.malformed or tally.unread else FAILED


def _progress(tally: Tally) -> None:
    print(f"\r{tally.redriven:,} redriven, {tally.already_done:,} already done ", end="", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="pipeline-processing dlq",
        description="Look at a lane's dead letters, grouped by cause, and give them back to their queue.",
        epilog="Reading leases the letters for two minutes and gives them back; to kill a reader loses nothing.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    common = Parser(add_help=False)
    common.add_argument("--lane", default="live", metavar="NAME", help="which lane (default: live)")
    common.add_argument("--json", action="store_true", help="one JSON document instead of text")

    listing = commands.add_parser("list", parents=[common], help="dead letters grouped by error fingerprint")
    listing.add_argument(
        "--limit",
        type=_count,
        default=LIST_LIMIT,
        metavar="N",
        help=f"read at most N letters (default: {LIST_LIMIT:,})",
    )

    show = commands.add_parser("show", parents=[common], help="why an item, or the items of a fingerprint, are dead")
    show.add_argument("target", metavar="FINGERPRINT|ITEM_ID", help="as `dlq list` prints it")
    show.add_argument("--run-id", help="with an ITEM_ID: look there even when no letter is left")
    show.add_argument("--examples", type=_count, default=3, metavar="N", help="show at most N letters (default: 3)")

    redrive = commands.add_parser(
        "redrive",
        parents=[common],
        help="give dead letters back to their queue",
        description="Give dead letters back to their queue. Conditions add up. Items that are done by now are dropped.",
    )
    redrive.add_argument("--fingerprint", help="letters with this error; 'moved' for those that the queue itself moved")
    redrive.add_argument("--run-id", help="letters of this run")
    redrive.add_argument("--agency", metavar="ID", help="letters of this agency")
    redrive.add_argument("--processor", metavar="NAME", help="letters of this processor")
    redrive.add_argument("--item", metavar="ITEM_ID", help="letters of this item")
    redrive.add_argument("--all", action="store_true", help="every letter of the lane")
    redrive.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    redrive.add_argument("--limit", type=_count, metavar="N", help="at most N letters")
    redrive.add_argument("--rate", type=_rate, metavar="N", help="at most N letters a second")
    redrive.add_argument("--force", action="store_true", help="send malformed letters too")
    redrive.add_argument("--yes", action="store_true", help="do not ask")
    _add_monitor(commands)
    return parser


def _add_monitor(commands: argparse._SubParsersAction[Parser]) -> None:
    monitor = commands.add_parser(
        "monitor",
        help="serve what the lanes hold as metrics, for alerts",
        description="Look at the lanes again and again, and serve /healthz, /readyz and /metrics: depths, dead letters,"
        " their age, and the time until the first is dropped. SIGTERM or SIGINT: exit 0.",
        epilog="A look hides each dead letter for one second; it changes nothing.",
    )
    monitor.add_argument(
        "--lane", metavar="NAME", action="append", help="which lane (repeatable; default: all that are set)"
    )
    monitor.add_argument(
        "--interval",
        type=_interval,
        default=INTERVAL,
        metavar="DURATION",
        help=f"time between looks, as in 30s (default: {INTERVAL.total_seconds():g}s)",
    )
    monitor.add_argument("--health-port", type=int, metavar="N", help="/healthz, /readyz, /metrics; 0: any free port")
    monitor.add_argument(
        "--once", action="store_true", help="look once, print, and exit: 0, or 3 or 1 where a lane or all failed"
    )
    monitor.add_argument("--json", action="store_true", help="with --once: one JSON document instead of text")


def _count(text: str) -> int:
    value = int(text) if text.isdecimal() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a count of 1 or more")
    return value


def _interval(text: str) -> timedelta:
    try:
        duration = parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if not isinstance(duration, timedelta) or duration < timedelta(seconds=1):
        raise argparse.ArgumentTypeError(f"{text!r} is no duration of a second or more")
    return duration


def _rate(text: str) -> float:
    try:
        value = float(text.removesuffix("/s"))
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of letters a second")
    return value


if __name__ == "__main__":
    sys.exit(main())
