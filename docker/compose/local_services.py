"""The embedded stack's parts as containers: S3 and SQS for all of the network to reach, and the data to begin with.

`pipeline-processing local` does the same for one machine, on its loopback; here Postgres is a container of its own.
"""
# ruff: noqa: INP001 - a script, not a package

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import sys
from pathlib import Path

import pipeline_local
from etl_core.database import Database
from pipeline_local import resources, rosters, sample
from pipeline_local.tools import endpoint_python


def main() -> int:
    """Run one part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parts = parser.add_subparsers(dest="part", required=True)
    endpoint = parts.add_parser("endpoint", help="serve S3 and SQS until SIGTERM")
    endpoint.add_argument("--name", required=True, help="the name that other containers know this one by")
    endpoint.add_argument("--listen", default="", metavar="ADDRESS", help="default: every address of this container")
    endpoint.add_argument("--port", type=int, default=4566)
    endpoint.add_argument("--data-dir", type=Path, required=True)
    parts.add_parser("prepare", help="make buckets, queues, schema and sample data, where they are missing")
    options = parser.parse_args()
    if options.part == "prepare":
        prepare()
    else:
        serve(options.name, options.listen, options.port, options.data_dir)
    return 0


def serve(name: str, address: str, port: int, folder: Path) -> None:
    """Become the endpoint: its launcher takes a bound socket, and its environment is not this one's."""
    folder.mkdir(parents=True, exist_ok=True)
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen(1024)
    listener.set_inheritable(True)
    environment = {
        "PATH": os.environ["PATH"],
        "BIND_HOST": address or "0.0.0.0",  # noqa: S104 - inside a container; compose.yaml publishes it on the loopback
        "MINISTACK_HOST": name,  # the host in queues' URLs
        "GATEWAY_PORT": str(port),
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(folder / "objects"),
        "PERSIST_STATE": "1",
        "STATE_DIR": str(folder / "state"),
        "TMPDIR": str(folder),
        "LOG_LEVEL": "WARNING",
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "DOCKER_HOST": "unix:///nonexistent",
    }
    python = str(endpoint_python())
    launcher = Path(pipeline_local.__file__).with_name("launcher") / "__main__.py"
    command = [python, "-I", str(launcher), "--socket", str(listener.fileno()), "--pid-file", str(folder / "pid")]
    os.execve(python, command, environment)  # noqa: S606 - no shell is meant


def prepare() -> None:
    """Make what is missing; a second time it changes nothing."""
    environment = dict(os.environ)
    resources.ensure(environment)
    sample.put_files(environment)
    rosters.put_rosters(environment)
    asyncio.run(_fill(environment["PIPELINE_DATABASE_URL"]))


async def _fill(url: str) -> None:
    database = Database(url, max_connections=1)
    try:
        filled = await database.fetch("select 1 from agencies limit 1")
    finally:
        await database.aclose()
    if not filled:
        await sample.fill_database(url)


if __name__ == "__main__":
    sys.exit(main())
