"""The local S3 and SQS endpoint: ministack, in its own environment, as a child process."""

from __future__ import annotations

import http.client
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Final

from etl_core.errors import ConfigError
from pipeline_local.processes import ProcessRef, last_lines, listen, spawn, wait_until
from pipeline_local.service import Running, Service
from pipeline_local.tools import endpoint_python

if TYPE_CHECKING:
    import subprocess

_LAUNCHER: Final = Path(__file__).with_name("launcher") / "__main__.py"
_START_PATIENCE: Final = 60.0


class Endpoint(Service):
    """Objects are kept on disk and survive anything; messages survive `stop`, not a kill -9."""

    name = "endpoint"
    usual_port = 4566

    def launch(self, port: int, *, patience: float) -> subprocess.Popen[bytes]:
        """Start the child with a socket that is bound already, so that no other program can take its port meanwhile."""
        python = endpoint_python()
        with self.hold() as lock, listen(port, patience=patience) as listener:
            self.port = int(listener.getsockname()[1])
            environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TZ") if name in os.environ}
            environment |= {
                "BIND_HOST": "127.0.0.1",
                "MINISTACK_HOST": "127.0.0.1",
                "GATEWAY_PORT": str(self.port),
                "S3_PERSIST": "1",
                "S3_DATA_DIR": str(self.folder / "objects"),
                "PERSIST_STATE": "1",
                "STATE_DIR": str(self.folder / "state"),
                "TMPDIR": str(self.folder),
                "LOG_LEVEL": "WARNING",
                "IOT_MTLS_ENABLED": "0",
                "SFTP_ENABLED": "0",
                "DOCKER_HOST": "unix:///nonexistent",  # whatever runs in Docker here is none of its business
            }
            command = [
                str(python),
                "-I",
                str(_LAUNCHER),
                "--socket",
                str(listener.fileno()),
                "--pid-file",
                str(self.pid_file),
            ]
            return spawn(command, log=self.log, environment=environment, keep=(listener.fileno(), lock))

    @property
    def pid_file(self) -> Path:
        """Return the file that the child itself writes its pid to."""
        return self.folder / "pid"

    def await_ready(self, child: subprocess.Popen[bytes]) -> Running:
        """Return when the endpoint answers; ConfigError when it ends or hangs instead."""
        process = ProcessRef.of(child.pid)
        port = self.port
        if wait_until(lambda: child.poll() is not None or is_healthy(port), _START_PATIENCE) and process:
            if child.poll() is None:
                return Running(process, port)
        elif process:
            process.stop((signal.SIGKILL, 5))
        raise ConfigError(
            f"the endpoint did not start: {last_lines(self.log) or 'no output'}",
            where="local stack",
            way_out=f"see {self.log}",
        )

    def stop(self, running: Running) -> None:
        """End it gently, so that it saves its messages; by force when it does not listen."""
        running.process.stop((signal.SIGTERM, 10), (signal.SIGKILL, 5))

    def is_ready(self, running: Running) -> bool:
        """Say whether it runs and answers."""
        return running.process.is_alive() and is_healthy(running.port)


def is_healthy(port: int) -> bool:
    """Say whether the endpoint on this port answers its health check."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/_ministack/health")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
