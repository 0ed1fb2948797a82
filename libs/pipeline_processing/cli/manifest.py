"""`pipeline-processing manifest JOB … -- ARGS`: a run as a Kubernetes Job or CronJob, checked before it is printed.

With ``--command``, any command of the product, by the service account whose role may what it does.
"""

from __future__ import annotations

import argparse
import itertools
import re
import shlex
import sys
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from etl_core.errors import check_all
from etl_core.settings import parse_duration
from pipeline_processing import __version__
from pipeline_processing.arguments import Parser
from pipeline_processing.cli import manifest_checks as checks
from pipeline_processing.cli.exits import DONE
from pipeline_processing.cli.terminal import print_json
from pipeline_processing.cli.yaml_text import yaml_text
from pipeline_processing.deployment import Schedule as ScheduleDefaults
from pipeline_processing.deployment import workload
from pipeline_processing.jobs.registry import discover
from pipeline_processing.reports.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

_EXAMPLES: Final = """\
examples:
  pipeline-processing manifest get_s3_files --namespace pipeline --image registry.example/pipeline-processing:0.1.0 \\
      --service-account pipeline-processing-controller --config-map pipeline-processing-settings \\
      --secret pipeline-database -- --agency-id 10 | kubectl apply -f -
  pipeline-processing manifest bronze_to_silver --config-map pipeline-processing-settings \\
      --cron "15 2 * * *" --timezone America/Chicago --contracts pipeline-contracts -- --dataset officers --all-agencies
  pipeline-processing manifest --command --namespace pipeline --image registry.example/pipeline-processing:0.1.0 \\
      --service-account pipeline-processing-controller --config-map pipeline-processing-settings \\
      -- controller cancel --run-id RUN | kubectl create -f -

Settings and secrets are named, never printed: those of --config-map and --secret become variables of the pod.
ARGS are checked by the job itself, with this process's PIPELINE_* variables; buckets may be left to --config-map.
A pod that replaces another resumes its run; every Job is a run of its own. A command is checked by its own parser.
"""

_DEFAULTS: Final = ScheduleDefaults(name="defaults", job="none", cron="@daily")
"""A Job's times are those of the chart's schedules."""
RESOURCES: Final = {
    "fleet": workload.Resources(cpu="250m", memory="512Mi", memory_limit="1Gi", scratch="2Gi"),
    "inline": workload.Resources(cpu="500m", memory="1Gi", memory_limit="1536Mi", scratch="8Gi"),
}
"""What the chart gives a schedule's pod, and a worker's."""

_LONGEST: Final = timedelta(days=3650)
_MOST_RETRIES: Final = 1000
_WORD: Final = re.compile(r"[a-z0-9]+(?:[-_][a-z0-9]+)*")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def main(argv: Sequence[str] | None = None) -> int:
    """Print the object; return an exit code. Nothing is printed where anything is wrong."""
    typed = sys.argv[1:] if argv is None else list(argv)
    cut = typed.index("--") if "--" in typed else len(typed)
    parser, arguments = _parser(), typed[cut + 1 :]
    options = parser.parse_args(typed[:cut])
    if options.command is (options.job is not None):
        parser.error("either JOB, or --command" if options.command else "the following arguments are required: JOB")
    if options.command and not arguments:
        parser.error("--command: which? it stands behind --")
    load = None if options.command else partial(discover().load, options.job.replace("-", "_"))
    wanted = _workload(load().name if load else None, arguments, options)
    check_all(
        lambda: checks.check_encoding(typed),
        lambda: checks.check_names(wanted, options),
        lambda: checks.check_run(options),
        lambda: checks.check_schedule(options),
        lambda: checks.check_resources(wanted.resources),
        lambda: checks.check_secrets(arguments, dict(options.env)),
        lambda: checks.check_variables(dict(options.env), has_contracts=options.contracts is not None),
    )
    if not options.unchecked:  # last: a job's parser leaves at the first fault that it finds
        if load:
            checks.check_arguments(load, arguments, options, parser.options())
        else:
            checks.check_command(arguments)
    for note in checks.doubts(options):
        print(f"note: {note}", file=sys.stderr)
    if options.json:
        print_json(wanted.document())
    else:
        print(printable(f"# pipeline-processing manifest {shlex.join(typed)}"))
        print(yaml_text(wanted.document()), end="")
    return DONE


def _workload(job: str | None, arguments: Sequence[str], options: argparse.Namespace) -> workload.Workload:
    usual = RESOURCES["inline" if "run" in arguments[:1] else options.mode]
    retries = _DEFAULTS.backoff_limit if job else 0  # whoever gave a command sees that it failed
    return workload.Workload(
        name=options.name or f"{workload.prefix(options.release)}-{_called(job, arguments)}",
        job=job,
        release=options.release,
        image=options.image,
        version=__version__,
        command=_command(job, options) if job else (),
        arguments=arguments,
        resources=workload.Resources(
            options.cpu or usual.cpu,
            options.memory or usual.memory,
            options.memory_limit or usual.memory_limit,
            options.scratch or usual.scratch,
        ),
        timing=workload.Timing(options.deadline, retries if options.retries is None else options.retries, options.keep),
        surroundings=workload.Surroundings(
            options.namespace,
            options.service_account,
            options.config_map,
            options.secret,
            options.contracts,
            dict(options.env),
        ),
        schedule=_schedule(options),
        is_begun=job is None and options.name is None and options.cron is None,
    )


def _called(job: str | None, words: Sequence[str]) -> str:
    """Return a job's name, or a command's first words, as a part of a name."""
    if job:
        return job.replace("_", "-")
    plain = itertools.takewhile(_WORD.fullmatch, words[:2])
    return "-".join(plain).replace("_", "-") or "command"


def _schedule(options: argparse.Namespace) -> workload.Schedule | None:
    if options.cron is None:
        return None
    deadline = options.starting_deadline or timedelta(seconds=_DEFAULTS.starting_deadline_seconds)
    return workload.Schedule(options.cron, options.timezone or _DEFAULTS.timezone, deadline)


def _command(job: str, options: argparse.Namespace) -> list[str]:
    given = {
        "--run-id": options.run_id or workload.RUN_ID,
        "--mode": "inline" if options.mode == "inline" else None,
        "--lane": options.lane,
        "--tolerate-failures": options.tolerate_failures,
        "--timeout": None if options.timeout is None else f"{options.timeout.total_seconds():.0f}s",
    }
    return [
        "controller",
        "run",
        job,
        *(word for name, value in given.items() if value is not None for word in (name, value)),
        "--",
    ]


def _parser() -> Parser:
    parser = Parser(
        prog="pipeline-processing manifest",
        usage="pipeline-processing manifest JOB [OPTIONS] -- ARGS\n"
        "       pipeline-processing manifest --command [OPTIONS] -- COMMAND [ARGS]",
        description="Print a run, or any command, as a Kubernetes Job, or with --cron as a CronJob, ready for kubectl.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.hint = "the job's own options stand behind --"
    parser.add_argument("job", metavar="JOB", nargs="?", help="the job; its own arguments stand behind --")
    parser.add_argument(
        "--command", action="store_true", help="no run: what stands behind -- is a command of pipeline-processing"
    )
    parser.add_argument("--json", action="store_true", help="print JSON in place of YAML")
    parser.add_argument(
        "--unchecked", action="store_true", help="take ARGS as they are: files that they name are only in the pod"
    )
    _add_run(parser.add_argument_group("the run"))
    _add_object(parser.add_argument_group("the object"))
    _add_pod(parser.add_argument_group("the pod"))
    return parser


def _add_run(run: argparse._ArgumentGroup) -> None:
    run.add_argument(
        "--mode",
        choices=("fleet", "inline"),
        default="fleet",
        help="work in the fleet (default), or in the Job's own pod",
    )
    run.add_argument("--lane", metavar="NAME", help="queue and workers (default: live)")
    run.add_argument("--tolerate-failures", metavar="N|P%", help="failed inputs that still count as a success")
    run.add_argument(
        "--timeout", type=_duration, metavar="TIME", help="wait at most this long for the fleet, then end it as it is"
    )
    run.add_argument("--run-id", metavar="ID", help="resume this run (default: a run of the Job's own)")


def _add_object(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--release",
        metavar="NAME",
        default=workload.PRODUCT,
        help="the chart's release that it belongs to, whose NetworkPolicy and alerts are for it, too"
        " (default: %(default)s)",
    )
    group.add_argument(
        "--name",
        help="its name (default: the release's and the job's; the API server ends a command's, for `kubectl create`)",
    )
    group.add_argument("--namespace", metavar="NAME", help="its namespace (default: kubectl's)")
    group.add_argument("--cron", metavar="EXPRESSION", help='make a CronJob, as in "15 2 * * *" or @daily')
    group.add_argument("--timezone", metavar="ZONE", help=f"of the schedule (default: {_DEFAULTS.timezone})")
    group.add_argument(
        "--starting-deadline", type=_duration, metavar="TIME", help="how late the schedule may start it (default: 1h)"
    )
    group.add_argument(
        "--deadline",
        type=_duration,
        metavar="TIME",
        default=timedelta(seconds=_DEFAULTS.active_deadline_seconds),
        help="how long it may take, with all its pods (default: 12h)",
    )
    group.add_argument(
        "--retries",
        type=_count,
        metavar="N",
        help=f"pods that replace a failed one; each resumes the run (default: {_DEFAULTS.backoff_limit}, a command: 0)",
    )
    group.add_argument(
        "--keep",
        type=_duration,
        metavar="TIME",
        default=timedelta(seconds=_DEFAULTS.ttl_seconds_after_finished),
        help="how long it is kept when it is over (default: 3d)",
    )


def _add_pod(pod: argparse._ArgumentGroup) -> None:
    pod.add_argument(
        "--image", default=f"pipeline-processing:{__version__}", help="the product's image (default: %(default)s)"
    )
    pod.add_argument("--service-account", metavar="NAME", help="whose AWS role it has")
    pod.add_argument(
        "--config-map", action="append", default=[], metavar="NAME", help="its settings, PIPELINE_* (repeatable)"
    )
    pod.add_argument(
        "--secret", action="append", default=[], metavar="NAME", help="its secrets, by their Secret's name (repeatable)"
    )
    pod.add_argument("--contracts", metavar="NAME", help="a ConfigMap of contracts, for `--dataset NAME` in ARGS")
    pod.add_argument(
        "--env",
        action="append",
        default=[],
        type=_variable,
        metavar="NAME=VALUE",
        help="one more variable (repeatable)",
    )
    usual = RESOURCES["fleet"], RESOURCES["inline"]
    for name, what in (
        ("cpu", "cores that it asks for"),
        ("memory", "memory that it asks for"),
        ("memory_limit", "memory that it may use"),
        ("scratch", "size of /tmp"),
    ):
        default = ", inline ".join(getattr(resources, name) for resources in usual)
        pod.add_argument(f"--{name.replace('_', '-')}", metavar="QUANTITY", help=f"{what} (default: {default})")


def _duration(text: str) -> timedelta:
    try:
        value = parse_duration(text)
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if not isinstance(value, timedelta) or not timedelta(seconds=1) <= value <= _LONGEST:
        raise argparse.ArgumentTypeError(f"{text!r} is less than a second, or more than 10 years")
    return value


def _count(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) > _MOST_RETRIES:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to {_MOST_RETRIES}")
    return int(text)


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not _VARIABLE.fullmatch(name):
        raise argparse.ArgumentTypeError("write it as NAME=VALUE")
    return name, value
