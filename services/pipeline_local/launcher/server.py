"""Serves the patched endpoint on a socket that the parent has bound already."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
from pathlib import Path

from pipeline_local.launcher.recovery import CleanShutdown, mend


def main(argv: list[str]) -> None:
    """Serve until SIGTERM; ministack reads the rest of its settings from the environment."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--socket", type=int, required=True, help="file descriptor of a bound TCP socket")
    parser.add_argument("--pid-file", type=Path, required=True)
    options = parser.parse_args(argv)
    options.pid_file.write_text(f"{os.getpid()}\n")
    shutdown = CleanShutdown(options.pid_file.parent)
    if shutdown.was_killed:
        mend(Path(os.environ["S3_DATA_DIR"]))
        # The messages of an older stop: what was deleted since would come back to life.
        Path(os.environ["STATE_DIR"], "sqs.json").unlink(missing_ok=True)
    shutdown.begin()

    import uvicorn  # noqa: PLC0415 - after the pid file, so that even a start that hangs can be found
    from ministack.app import app  # noqa: PLC0415 - reads the environment when it is imported

    from pipeline_local.launcher import s3, sqs  # noqa: PLC0415 - imports ministack
    from pipeline_local.launcher.connection import exposing_connections  # noqa: PLC0415 - as above

    s3.install()
    sqs.install()
    config = uvicorn.Config(
        exposing_connections(app),
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=1,  # a long poll would hold a stop up for its 20 s
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn raises a signal again once it has shut down; the default action would end us before `end` below.
        signal.signal(number, lambda *_: None)
    with socket.socket(fileno=options.socket) as listener:
        uvicorn.Server(config).run(sockets=[listener])
    shutdown.end()
    sys.stdout.flush()
    os._exit(0)  # ministack's scheduler threads are not daemons that end by themselves
