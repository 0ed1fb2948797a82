"""`pipeline-processing controller …`: arguments in, parts wired, an exit code out."""

from __future__ import annotations

import argparse
import asyncio
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from etl_core.errors import ConfigError, check_all
from etl_core.settings import parse_duration
from pipeline_controller.commands import Controller
from pipeline_controller.reconcile import Reconcile
from pipeline_processing.arguments import Parser, typed_as
from pipeline_processing.cli.exits import DONE, PARTLY, guarded
from pipeline_processing.cli.terminal import print_json, print_pairs
from pipeline_processing.jobs.registry import discover
from pipeline_processing.service_handler import ServiceHandler
from pipeline_processing.stages import choose_run_id, open_control, run_inline
from pipeline_processing.tolerance import Tolerance

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pipeline_processing.job import Job
    from pipeline_processing.model import Json
    from pipeline_processing.runs import Run
    from pipeline_processing.service_handler import Lane

_EXAMPLES: Final = """\
examples:
  pipeline-processing controller run get_s3_files -- --agency-id 10
  pipeline-processing controller run get_s3_files --dry-run -- --all-agencies
  pipeline-processing controller run get_s3_files --lane backfill --no-wait --run-id history-1 -- --all-agencies
  pipeline-processing controller status --run-id history-1
  pipeline-processing controller report --run-id history-1 --html report.html
  pipeline-processing controller gather --run-id history-1 --tolerate-failures 0.1%
  pipeline-processing controller cancel --run-id history-1
  pipeline-processing controller reconcile

exit codes: 0 done, 1 failed, 2 usage or configuration, 3 partly done (look at the report), 130 interrupted
Any command may be repeated, also while another controller is at the same run.
"""

_NEEDS_ARGUMENTS: Final = {"run", "plan"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one controller command; return an exit code."""
    options = parse(sys.argv[1:] if argv is None else argv)
    return guarded(lambda: asyncio.run(_open_and_run(options)))


async def run(argv: Sequence[str], services: ServiceHandler, *, load_job: Callable[[str], Job] | None = None) -> int:
    """Run one controller command with parts that are there already; return an exit code."""
    return await _run(parse(argv), services, load_job or _load_job)


async def _open_and_run(options: argparse.Namespace) -> int:
    async with ServiceHandler.for_process() as services:
        return await _run(options, services, _load_job)


def _load_job(name: str) -> Job:
    return discover().load(name)


async def _run(  # noqa: PLR0911 - one return a command
    options: argparse.Namespace, services: ServiceHandler, load_job: Callable[[str], Job]
) -> int:
    if options.command in _NEEDS_ARGUMENTS:
        return await _begin(options, services, load_job(options.job))
    controller = Controller(services, open_control(services), options.json)
    if options.command == "reconcile":
        return await _reconcile(controller, load_job)
    if options.command == "status" and options.run_id is None:
        return await controller.list_runs(options.job, with_over=options.all)
    run = await controller.control.runs.load(options.run_id)
    _check_job(run, options.job)
    if options.command == "cancel":
        return await controller.cancel(run.run_id)
    if options.command == "report":
        return await controller.report(run, options.html)
    lane = await _lane_of(run, options, services)
    if options.command == "status":
        return await controller.status(run, lane)
    if options.command == "scatter":
        return await _scatter(controller, run, lane)
    return await controller.gather(
        load_job(run.job),
        run.run_id,
        lane,
        tolerance=_tolerance(options),
        waits=options.wait,
        patience=options.timeout,
    )


async def _begin(options: argparse.Namespace, services: ServiceHandler, job: Job) -> int:
    """Plan, and with `run` do everything after it too. All settings are looked at before anything is written."""
    with typed_as(
        f"pipeline-processing controller {options.command} {job.name} --",
        see=f"pipeline-processing run {job.name} --help",
        before=options.own,
    ):
        specs: list[Mapping[str, Json]] = []
        check_all(
            lambda: specs.append(job.parse(options.arguments)),
            lambda: options.dry_run or services.control,
            lambda: options.dry_run or options.mode == "inline" or services.lane_address(options.lane or "live"),
        )
        (spec,) = specs
    run_id = options.run_id or choose_run_id(job, spec, services, scheduled=options.schedule_time)
    tolerance = _tolerance(options)
    if options.dry_run:
        return await Controller(services, open_control(services, services.memory_store()), options.json).estimate(
            job, spec, run_id
        )
    if options.mode == "inline":
        if options.command != "run":
            raise ConfigError(
                "a run within one process is not planned alone", where="--mode inline", way_out="use it with `run`"
            )
        return await run_inline(
            job,
            spec,
            services,
            run_id=run_id,
            tolerate=tolerance.text if tolerance else "0",
            json_output=options.json,
        )
    controller = Controller(services, open_control(services), options.json)
    lane = await services.lane(options.lane or "live")
    is_plan_only = options.command == "plan"
    run, manifest = await controller.plan(
        job, spec, run_id, lane, tolerance or Tolerance.parse("0"), is_plan_only=is_plan_only
    )
    if is_plan_only:
        return _say(options, {"run_id": run_id, "state": run.state, "items": manifest.items, "inputs": manifest.inputs})
    if manifest.items:
        run, sent = await controller.scatter(run, manifest, lane)
        if not options.wait:
            return _say(options, {"run_id": run_id, "state": run.state, "items": manifest.items, "sent": sent})
    return await controller.gather(
        job, run_id, lane, tolerance=tolerance, waits=bool(manifest.items), patience=options.timeout
    )


async def _scatter(controller: Controller, run: Run, lane: Lane | None) -> int:
    if lane is None:
        raise ConfigError(
            f"run {run.run_id} was begun within one process",
            where="controller scatter",
            way_out="name the lane that shall have its items: --lane live",
        )
    run, sent = await controller.scatter(run, await controller.control.manifest(run), lane)
    options = argparse.Namespace(json=controller.json_output)
    return _say(options, {"run_id": run.run_id, "state": run.state, "sent": sent})


async def _reconcile(controller: Controller, load_job: Callable[[str], Job]) -> int:
    """Return 3 where something went wrong or was left to come, so that a schedule shows it."""
    services = controller.services
    lanes = {name: await services.lane(name) for name in services.settings.lanes}
    actions = []
    async for action in Reconcile(services, controller.control, lanes, load_job).run():
        actions.append(action)
        if not controller.json_output:
            print_pairs({action.run_id: f"{action.what.replace('_', ' ')}: {action.why}"})
    if controller.json_output:
        print_json([action.as_json() for action in actions])
    elif not actions:
        print_pairs({"reconcile": "no run needs anything"})
    return PARTLY if any(action.is_open for action in actions) else DONE


async def _lane_of(run: Run, options: argparse.Namespace, services: ServiceHandler) -> Lane | None:
    name = getattr(options, "lane", None) or run.lane
    return await services.lane(name) if name else None


def _check_job(run: Run, job: str | None) -> None:
    if job not in {None, run.job}:
        raise ConfigError(
            f"run {run.run_id} belongs to job {run.job}, not to {job}", where="--run-id", way_out="leave the job out"
        )


def _tolerance(options: argparse.Namespace) -> Tolerance | None:
    return Tolerance.parse(options.tolerate_failures) if options.tolerate_failures is not None else None


def _say(options: argparse.Namespace, pairs: dict[str, object]) -> int:
    (print_json if options.json else print_pairs)(pairs)
    return DONE


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Read what was typed, and do nothing else. What stands behind ``--`` is the job's."""
    own, arguments = list(argv), []
    if "--" in own:
        cut = own.index("--")
        own, arguments = own[:cut], own[cut + 1 :]
    options = _parser().parse_args(own)
    for name in ("pack_max_items", "pack_max_bytes"):
        value = getattr(options, name, None)
        if value is not None:
            arguments += [f"--{name.replace('_', '-')}", str(value)]
    options.arguments = arguments
    return options


def _parser() -> Parser:
    parser = Parser(
        prog="pipeline-processing controller",
        description="Plan a run, scatter its items to the workers, wait for them, gather and publish.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    texts = {
        "run": "plan, scatter, wait, gather, publish",
        "plan": "freeze the run's items, send nothing",
        "scatter": "send the items of a planned run",
        "status": "how far a run is; without --run-id: every run that is not over",
        "report": "show the report of a run that has ended",
        "gather": "wait for a run, then end it",
        "cancel": "drop what is left of a run",
        "reconcile": "bring every open run on, and say what was done",
    }
    for name, text in texts.items():
        command = commands.add_parser(
            name,
            help=text,
            description=f"{text[0].upper()}{text[1:]}.",
            epilog=_EXAMPLES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_argument("--json", action="store_true", help="say it as JSON on stdout")
        if name == "reconcile":
            continue
        starts = name in _NEEDS_ARGUMENTS
        usage = "the job; its own arguments stand behind --" if starts else "only check that the run is this job's"
        command.add_argument("job", metavar="JOB", nargs=None if starts else "?", help=usage)
        is_optional = starts or name == "status"
        default = ": default from job, schedule time and arguments; an id that exists resumes" if starts else ""
        command.add_argument("--run-id", required=not is_optional, help=f"the run{default}")
        if name == "status":
            command.add_argument(
                "--all", action="store_true", help="without --run-id: list the runs that are over, too"
            )
        if name == "report":
            command.add_argument("--html", type=Path, metavar="FILE", help="write it to FILE, as one page")
        if name not in {"cancel", "report"}:
            command.add_argument("--lane", metavar="NAME", help="queue and workers (default: the run's own, else live)")
        if starts:
            command.hint = "the job's own options stand behind --"
            _add_start_options(command)
        if name in {"run", "gather", "plan"}:
            _add_end_options(command)
        command.set_defaults(own=command.options())
    return parser


def _add_start_options(command: Parser) -> None:
    command.add_argument(
        "--mode", choices=("fleet", "inline"), default="fleet", help="work in the fleet, or in this process"
    )
    command.add_argument(
        "--dry-run", action="store_true", help="say what would be sent and what it costs; write nothing"
    )
    command.add_argument(
        "--schedule-time", type=_time, metavar="ISO8601", help="when it was scheduled; $PIPELINE_SCHEDULE_TIME"
    )
    command.add_argument("--pack-max-items", type=int, metavar="N", help="passed on to the job: files in one item")
    command.add_argument("--pack-max-bytes", metavar="SIZE", help="passed on to the job: bytes in one item")


def _add_end_options(command: Parser) -> None:
    command.add_argument(
        "--tolerate-failures", metavar="N|P%", help="failed inputs that still count as a success (default: 0)"
    )
    command.add_argument(
        "--wait", action=argparse.BooleanOptionalAction, default=True, help="wait for the workers (default)"
    )
    command.add_argument(
        "--timeout",
        type=_duration,
        metavar="TIME",
        help="wait at most this long, such as 90s, 2h; then end it as it is",
    )


def _duration(text: str) -> timedelta:
    try:
        value = parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if not isinstance(value, timedelta) or value <= timedelta(0):
        raise argparse.ArgumentTypeError(f"{text!r} is no time to wait")
    return value


def _time(text: str) -> datetime:
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 2030-01-31T06:00:00Z") from None
    if value.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text!r} has no time zone: add Z for UTC")
    return value


if __name__ == "__main__":
    sys.exit(main())
