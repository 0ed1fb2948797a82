"""The embedded stack: up, down, status, reset, environment. All of its data is under one folder."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from etl_core.errors import ConfigError
from pipeline_local import postgres, resources
from pipeline_local.endpoint import Endpoint
from pipeline_local.postgres import Postgres
from pipeline_local.processes import ProcessRef, locked
from pipeline_local.service import Running

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from pipeline_local.service import Service

REGION: Final = "us-east-1"
LOCK: Final = "lock"
"""The file in a stack's folder that outlives its data."""


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """What `status` says of one service."""

    name: str
    is_running: bool
    port: int | None
    pid: int | None
    log: Path


class Stack:
    """One instance; several may run side by side, each in its own folder.

    Every call may be made from any process at any time: a lock orders those that change something.
    """

    def __init__(self, folder: Path, *, is_durable: bool = True, has_usual_ports: bool = True) -> None:
        self.folder = folder.absolute()
        self._is_durable = is_durable
        self._has_usual_ports = has_usual_ports

    def up(self) -> dict[str, str]:
        """Start what does not run, make what is missing, and return the environment; whatever runs already is kept."""
        postgres.binaries_folder()
        with self._locked():
            known = self._running()
            children = {
                service: self._launch(service, known)
                for service in self._services()
                if not _is_ready(service, known.get(service.name))
            }
            for service, child in children.items():
                known[service.name] = service.await_ready(child)
            self._remember(known)
            environment = self._environment(known)
            resources.ensure(environment)
            return environment

    def _launch(self, service: Service, known: dict[str, Running]) -> subprocess.Popen[bytes]:
        """Start one service without waiting for it; on the port that it had before, where that is free."""
        before = known.pop(service.name, None)
        _clear(service, before)
        usual = service.usual_port if self._has_usual_ports else 0
        child = service.launch(before.port if before else usual, patience=5.0 if before else 0.0)
        process = ProcessRef.of(child.pid)
        if process:
            known[service.name] = Running(process, service.port)
            self._remember(known)
        return child

    def down(self) -> bool:
        """Stop both services and wait for their end; say whether there was anything that could have run."""
        if not self._was_ever_up():
            return False
        with self._locked():
            self._stop()
        return True

    def reset(self) -> bool:
        """Stop, then remove all data, the demo's too; say whether there was any.

        Only the lock stays, which others may be waiting for, and what is not ours.
        """
        if not self._was_ever_up():
            return False
        with self._locked():
            self._stop()
            for folder in (*(service.folder for service in self._services()), self.notes):
                shutil.rmtree(folder, ignore_errors=True)
            for file in (self._state_file, self.folder / "password"):
                file.unlink(missing_ok=True)
        return True

    @property
    def notes(self) -> Path:
        """Return the folder of what was done with the stack: the demo's logs and report."""
        return self.folder / "demo"

    def _was_ever_up(self) -> bool:
        """Tell a stack's folder from any other: a lock made there would be litter."""
        names = (self._state_file.name, "endpoint", "postgres", self.notes.name)  # not _services(): it makes a password
        return any((self.folder / name).exists() for name in names)

    def status(self) -> list[ServiceStatus]:
        """Return how each service is; changes nothing."""
        known = self._running()
        found = []
        for service in self._services() if self.folder.exists() else []:
            running = known.get(service.name)
            is_running = _is_ready(service, running)
            port, pid = (running.port, running.process.pid) if running and is_running else (None, None)
            found.append(ServiceStatus(service.name, is_running, port, pid, service.log))
        return found

    def environment(self) -> dict[str, str]:
        """Return the variables that make every other command use this stack; ConfigError when it is not up."""
        found = self.status()
        down = [service.name for service in found if not service.is_running]
        if down or not found:
            what = f"{' and '.join(down)} not running" if down else "it was never up"
            raise ConfigError(
                f"the stack in {self.folder} is not up: {what}",
                where="local stack",
                way_out="pipeline-processing local up",
            )
        return self._environment(self._running())

    def sql(self, statement: str) -> str:
        """Run one administrative statement in the database ``postgres``; return its bare output."""
        return self._postgres.sql(statement, port=self._running()["postgres"].port)

    def _environment(self, running: Mapping[str, Running]) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{running['endpoint'].port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": REGION,
            "PIPELINE_CONTROL_BUCKET": resources.CONTROL_BUCKET,
            "PIPELINE_SOURCE_BUCKET": resources.SOURCE_BUCKET,
            "PIPELINE_DESTINATION_BUCKET": resources.DESTINATION_BUCKET,
            "PIPELINE_SILVER_BUCKET": resources.SILVER_BUCKET,
            "PIPELINE_LIVE_QUEUE": resources.LIVE_QUEUE,
            "PIPELINE_BACKFILL_QUEUE": resources.BACKFILL_QUEUE,
            "PIPELINE_DATABASE_URL": self._postgres.url(running["postgres"].port),
            "PIPELINE_RECEIVE_WAIT": "2s",
            "PIPELINE_POLL": "1s",
            "PIPELINE_BACKOFF_BASE": "500ms",
            "PIPELINE_BACKOFF_CAP": "10s",
            "PIPELINE_STALL_AFTER": "1m",
            "PIPELINE_HEALTH_HOST": "127.0.0.1",
            "PIPELINE_HEALTH_PORT": "0",
            "PIPELINE_LOG_FORMAT": "console",
        }

    @cached_property
    def _postgres(self) -> Postgres:
        return Postgres(self.folder / "postgres", password=self._password(), is_durable=self._is_durable)

    def _services(self) -> list[Service]:
        return [Endpoint(self.folder / "endpoint"), self._postgres]

    def _stop(self) -> None:
        known = self._running()
        for service in self._services():
            _clear(service, known.get(service.name))
        # A stopped service keeps its port, so that a program that was told it still finds it after the next `up`.
        self._remember({name: Running(ProcessRef.nobody(), running.port) for name, running in known.items()})

    def _locked(self) -> AbstractContextManager[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        return locked(self.folder / LOCK)

    def _password(self) -> str:
        """Return the database's password, made once: it must outlive the state file, as the cluster does."""
        file = self.folder / "password"
        with contextlib.suppress(FileNotFoundError):
            return file.read_text()
        self.folder.mkdir(parents=True, exist_ok=True)
        _write(file, secrets.token_hex(16))
        return file.read_text()

    @property
    def _state_file(self) -> Path:
        return self.folder / "state.json"

    def _running(self) -> dict[str, Running]:
        """Return the services as last seen; an unreadable state file is as good as none, see `Service.orphan`."""
        try:
            state = json.loads(self._state_file.read_text())
            return {
                name: Running(ProcessRef(one["pid"], one["started"]), one["port"])
                for name, one in state["services"].items()
            }
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
            return {}

    def _remember(self, services: Mapping[str, Running]) -> None:
        record = {
            name: {"pid": running.process.pid, "started": running.process.started, "port": running.port}
            for name, running in services.items()
        }
        _write(self._state_file, json.dumps({"services": record}, indent=2) + "\n")


def _write(file: Path, text: str) -> None:
    """Replace a file whole, readable by its owner only."""
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as output:
        output.write(text)
    draft.replace(file)


def _is_ready(service: Service, running: Running | None) -> bool:
    return running is not None and service.is_ready(running)


def _clear(service: Service, running: Running | None) -> None:
    """Stop the service, whether the state file knows it or its starter was killed before it could write it down."""
    if running and running.process.is_alive():
        service.stop(running)
    orphan = service.orphan()
    if orphan:
        service.stop(Running(orphan, 0))
