"""``pipeline-processing local``: start, stop and look at the embedded stack."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from etl_core.errors import ConfigError, EtlError
from pipeline_local.stack import Stack
from pipeline_processing.arguments import Parser

if TYPE_CHECKING:
    from collections.abc import Sequence

DESCRIPTION = """\
An S3 and SQS endpoint and a Postgres on loopback ports, with the product's buckets, queues and schema.

Objects and rows survive everything, a kill -9 of any process included. Messages survive `down`; those in the queues
when the endpoint is killed are lost: the next `up` makes the queues anew, and `controller reconcile` re-enqueues.

The endpoint's own packages (some 70 MB) are installed once, in ~/.cache/pipeline-processing; all stacks share them.
PIPELINE_TOOLS_DIR puts them elsewhere. `reset` leaves them there; the folder may be removed while no stack is up.
"""
ACTIONS = {
    "up": "start what does not run, make buckets, queues and schema, print the environment",
    "down": "stop, keep the data",
    "status": "say what runs, and where",
    "reset": "stop, remove all data",
    "env": 'print the environment for `eval "$(pipeline-processing local env)"`',
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one action; return the exit code (0 done, 1 not up or failed, 2 usage or configuration)."""
    options = _parser().parse_args(argv)
    stack = Stack(options.data_dir)
    try:
        return _act(stack, options.action, as_json=options.json)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except EtlError as error:
        print(f"local stack: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="pipeline-processing local",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n".join(f"  {action:8} {what}" for action, what in ACTIONS.items()),
    )
    parser.add_argument("action", choices=ACTIONS, metavar="|".join(ACTIONS))
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    parser.add_argument(
        "--data-dir",
        type=Path,
        default=Path(os.environ.get("PIPELINE_LOCAL_DIR") or ".local"),
        metavar="DIR",
        help="folder of all data (default: $PIPELINE_LOCAL_DIR, else .local)",
    )
    return parser


def _act(stack: Stack, action: str, *, as_json: bool) -> int:
    match action:
        case "up":
            _print_environment(stack.up(), as_json=as_json)
            hint = shlex.join(["pipeline-processing", "local", "env", "--data-dir", str(stack.folder)])
            print(f'# use it:  eval "$({hint})"', file=sys.stderr)
        case "env":
            _print_environment(stack.environment(), as_json=as_json)
        case "status":
            return _print_status(stack, as_json=as_json)
        case "down" if not stack.down():
            print(f"nothing runs there: {stack.folder} is no stack's folder", file=sys.stderr)
        case "reset" if not stack.reset():
            print(f"nothing is there: {stack.folder} is no stack's folder", file=sys.stderr)
        case "down" | "reset":
            pass
        case _:
            raise ConfigError(f"unknown action {action!r}", where="local stack")
    return 0


def _print_environment(environment: dict[str, str], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(environment, indent=2))
        return
    for name, value in environment.items():
        print(f"export {name}={shlex.quote(value)}")


def _print_status(stack: Stack, *, as_json: bool) -> int:
    found = stack.status()
    if as_json:
        print(
            json.dumps(
                {
                    "folder": str(stack.folder),
                    "services": [
                        {"name": s.name, "running": s.is_running, "port": s.port, "pid": s.pid, "log": str(s.log)}
                        for s in found
                    ],
                },
                indent=2,
            )
        )
    elif not found:
        print(f"nothing in {stack.folder}: it was never up")
    else:
        for service in found:
            where = f"127.0.0.1:{service.port} (pid {service.pid})" if service.is_running else "not running"
            print(f"{service.name:10} {where:32} log: {service.log}")
    return 0 if found and all(service.is_running for service in found) else 1
