"""`pipeline-processing doctor`: whether the settings are whole and safe, and every service can be reached.

With a whole deployment (``--config``, ``--chart``) it proves that, and reaches nothing.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from etl_core.errors import ConfigError
from etl_core.settings import environment, unknown
from pipeline_processing.arguments import Parser
from pipeline_processing.cli.checks import SUBJECTS, Check, Request, examine
from pipeline_processing.cli.exits import DONE, FAILED, MEANINGS, USAGE
from pipeline_processing.cli.proof import proof
from pipeline_processing.cli.terminal import print_json, print_pairs, print_table
from pipeline_processing.service_handler import ServiceHandler
from pipeline_processing.settings import Settings

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

_OURS: Final = ("PIPELINE_LOCAL_DIR", "PIPELINE_TOOLS_DIR")
"""Variables of the local stack, which are no settings."""
PATIENCE: Final = 20.0
"""Seconds that one check may take before its service counts as down."""


def main(argv: Sequence[str] | None = None) -> int:
    """Check everything, print it, and return USAGE for faults and unsafe sets, FAILED when a service is down."""
    options = parse(argv)
    if options.config or options.chart:
        return report(proof(options.config, options.chart), as_json=options.json)
    try:
        services = ServiceHandler.for_process()
    except ConfigError as error:
        checks = [Check("settings", "fault", fault, error.way_out) for fault in error.what.split("; ")]
    else:
        checks = asyncio.run(_examine(services, options))
    return report([*checks, *strangers(environment())], as_json=options.json)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read what was typed, and do nothing else."""
    return _parser().parse_args(argv)


def strangers(names: Iterable[str]) -> list[Check]:
    """Warn of each variable that looks like a setting and is none: a misspelt one leaves the default in force."""
    return [
        Check(
            f"settings {name}", "warning", "no setting has this name", f"did you mean {meant}?" if meant else "unset it"
        )
        for name, meant in unknown(Settings, names, known=_OURS).items()
    ]


def report(checks: Sequence[Check], *, as_json: bool) -> int:
    """Print ``checks`` and return the exit code that they mean."""
    code = exit_code(checks)
    if as_json:
        print_json({"exit_code": code, "checks": [asdict(check) for check in checks]})
        return code
    print_table(("check", "state", "what"), [(check.subject, check.state, check.message) for check in checks])
    ways_out = {check.subject: check.way_out for check in checks if check.way_out and check.state != "ok"}
    if ways_out:
        print("\nways out")
        print_pairs(ways_out)
    counts = Counter(check.state for check in checks)
    verdict = ", ".join(f"{count} {state}" for state, count in counts.items())
    print(f"\n{verdict}: exit code {code}, {MEANINGS[code]}")
    return code


def exit_code(checks: Sequence[Check]) -> int:
    """Return USAGE where something must be changed first, FAILED where a service is down, else DONE."""
    states = {check.state for check in checks}
    if not checks or states & {"fault", "unsafe"}:
        return USAGE
    return FAILED if "down" in states else DONE


async def _examine(services: ServiceHandler, options: argparse.Namespace) -> list[Check]:
    settings = services.settings
    request = Request(
        patience=timedelta(seconds=options.patience),
        without=frozenset(options.without),
        jobs=options.job,
        buckets={
            "source": options.source_bucket or settings.source_bucket,
            "destination": options.destination_bucket or settings.destination_bucket,
        },
    )

    async with services:
        checks = await examine(services, request, nonce=services.nonce, connect=services.aws.describe)
    return [Check("settings", "ok", "all are of the right kind"), *checks]


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="pipeline-processing doctor",
        description="Check the settings, reach each service, try what may be done there, and refuse unsafe sets."
        " With --config or --chart: prove a whole deployment safe, before it is installed, and reach nothing.",
        epilog="It writes an object into the control and the silver bucket, and removes it; it touches no message."
        " Exit codes: 0 all is well, 1 a service is down, 2 something is unsafe or wrong.",
    )
    whole = parser.add_mutually_exclusive_group()
    whole.add_argument(
        "--config", type=Path, metavar="FILE", help="prove the deployment that this file describes (docs/deploy.md)"
    )
    whole.add_argument(
        "--chart",
        type=Path,
        action="append",
        default=[],
        metavar="VALUES",
        help="prove what the chart installs with this file of values; repeatable, as helm's -f",
    )
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    parser.add_argument(
        "--job", action="append", default=[], metavar="NAME", help="check this job's definition only (repeatable)"
    )
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        choices=SUBJECTS,
        metavar="PART",
        help=f"leave out a part that this deployment does not have: {', '.join(SUBJECTS)} (repeatable)",
    )
    parser.add_argument("--source-bucket", metavar="NAME", help="check this one (default: PIPELINE_SOURCE_BUCKET)")
    parser.add_argument(
        "--destination-bucket", metavar="NAME", help="check this one (default: PIPELINE_DESTINATION_BUCKET)"
    )
    parser.add_argument(
        "--patience",
        type=float,
        default=PATIENCE,
        metavar="S",
        help=f"seconds a check may take (default: {PATIENCE:g})",
    )
    return parser
