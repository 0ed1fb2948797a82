"""`migrate` on a real Postgres: what it says, when it waits, what it refuses; twice, and twice at once."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import uuid4

import orjson
import pytest
import structlog
from pydantic import SecretStr

from etl_core.database import Database
from etl_core.database.migrations import apply
from etl_core.errors import Transient, Unreachable
from pipeline_processing.cli.main import main
from pipeline_processing.cli.migrate import migrate
from pipeline_processing.repositories import schema
from pipeline_processing.service_handler import ServiceHandler
from pipeline_processing.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from conftest import LocalStack  # type: ignore[attr-defined] # mypy takes another folder's conftest

FILES = sorted(file.name for file in files(schema).iterdir() if file.name.endswith(".sql"))


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A port of this machine's that nobody else can take, and nobody listens at."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound


@pytest.fixture
def empty(local_stack: LocalStack, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a new database without any table, which is the one of this process's settings."""
    name = f"empty_{uuid4().hex[:12]}"
    local_stack.sql(f'create database "{name}"')
    url = f"{local_stack.database_url.rpartition('/')[0]}/{name}"
    monkeypatch.setenv("PIPELINE_DATABASE_URL", url)
    yield url
    local_stack.sql(f'drop database "{name}" with (force)')


@pytest.fixture
def reader(local_stack: LocalStack, empty: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A user of that database who may read and not make tables; this process's settings name it."""
    name = f"reader_{uuid4().hex[:12]}"
    local_stack.sql(f"create role {name} login password 'reads'")
    there = urlsplit(empty)
    monkeypatch.setenv("PIPELINE_DATABASE_URL", f"postgresql://{name}:reads@{there.hostname}:{there.port}{there.path}")
    yield name
    _run(empty, f"drop owned by {name}")
    local_stack.sql(f"drop role {name}")


def _run(url: str, sql: str, *args: object) -> None:
    async def work() -> None:
        database = Database(url, max_connections=1)
        await database.execute(sql, *args)
        await database.aclose()

    asyncio.run(work())


def _tables(url: str) -> list[str]:
    async def work() -> list[str]:
        database = Database(url, max_connections=1)
        rows = await database.fetch("select tablename from pg_tables where schemaname = 'public' order by 1")
        await database.aclose()
        return [row["tablename"] for row in rows]

    return asyncio.run(work())


def said(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, dict[str, Any]]:
    code = main(["migrate", "--json", *argv])
    return code, orjson.loads(capsys.readouterr().out)


def test_a_new_database_is_brought_up_to_date_once(empty: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert [] == _tables(empty)
    assert (0, {"dry_run": False, "applied_before": [], "applied_now": FILES, "pending": []}) == said(capsys)
    tables = _tables(empty)
    assert {"agencies", "attachments", "employment_history", "schema_migrations"} <= set(tables)

    assert (0, {"dry_run": False, "applied_before": FILES, "applied_now": [], "pending": []}) == said(capsys)
    assert tables == _tables(empty)


def test_a_dry_run_says_what_is_pending_and_changes_nothing(empty: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert (0, {"dry_run": True, "applied_before": [], "applied_now": [], "pending": FILES}) == said(
        capsys, "--dry-run"
    )
    assert [] == _tables(empty)


def test_a_reader_sees_each_file_with_its_state(empty: str, capsys: pytest.CaptureFixture[str]) -> None:
    del empty
    assert 0 == main(["migrate", "--dry-run"])
    assert "2 migrations would be applied; nothing was changed" in capsys.readouterr().out
    assert 0 == main(["migrate"])
    first, *rows = capsys.readouterr().out.splitlines()
    assert ["migration", "state"] == first.split()
    assert [[name, "applied", "now"] for name in FILES] == [row.split() for row in rows[:2]]
    assert "2 migrations applied; the schema is up to date" == rows[-1]


async def test_of_two_at_once_each_file_is_applied_by_one(empty: str) -> None:
    async def one() -> tuple[str, ...]:
        async with ServiceHandler(Settings(database_url=SecretStr(empty))) as services:
            return (await migrate(services, patience=timedelta(seconds=30))).now

    first, second = await asyncio.gather(one(), one())
    assert [[], FILES] == sorted([list(first), list(second)])


def test_a_file_that_was_altered_since_is_refused(empty: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["migrate"])
    _run(empty, "update schema_migrations set sha256 = 'another' where name = $1", FILES[0])
    capsys.readouterr()

    for argv in (["migrate"], ["migrate", "--dry-run"]):
        assert 2 == main(argv)
        out, err = capsys.readouterr()
        assert ("", True) == (out, f"{FILES[0]} was altered" in err)


@pytest.mark.usefixtures("reader")
def test_a_user_who_may_not_change_the_schema_is_told_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert 1 == main(["migrate"])
    err = capsys.readouterr().err
    assert "permission denied for schema public" in err
    assert "the user in PIPELINE_DATABASE_URL must be allowed to change the schema" in err


def test_where_nothing_is_pending_no_right_to_change_anything_is_needed(
    empty: str, reader: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(schema.migrate(empty))
    _run(empty, f"grant select on schema_migrations to {reader}")

    assert (0, {"dry_run": False, "applied_before": FILES, "applied_now": [], "pending": []}) == said(capsys)


def test_without_a_url_it_is_a_matter_of_configuration(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("PIPELINE_DATABASE_URL", raising=False)
    assert 2 == main(["migrate"])
    assert "set PIPELINE_DATABASE_URL=" in capsys.readouterr().err


def test_a_database_that_is_not_there_at_all_is_not_waited_for(
    empty: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PIPELINE_DATABASE_URL", f"{empty}_not")
    assert 2 == main(["migrate"])
    assert "the database refuses the log-in: SQLSTATE 3D000" in capsys.readouterr().err


def test_one_that_does_not_answer_in_time_is_a_failure(
    silent: socket.socket, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    port = silent.getsockname()[1]
    monkeypatch.setenv("PIPELINE_DATABASE_URL", f"postgresql://me:hunter2@127.0.0.1:{port}/nothing")
    assert 1 == main(["migrate", "--wait", "0"])
    err = capsys.readouterr().err
    assert f"127.0.0.1:{port}" in err
    assert "hunter2" not in err


@pytest.mark.parametrize("text", ["soon", "-1s", ""])
def test_how_long_to_wait_is_a_duration(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == main(["migrate", f"--wait={text}"])
    assert "is not a duration" in capsys.readouterr().err


class Hours:
    """A clock whose time passes in sleeps alone; ``after`` is called with the number of each."""

    def __init__(self, after: Callable[[int], object] = lambda _: None) -> None:
        self.slept: list[float] = []
        self._after = after

    def now(self) -> datetime:
        return datetime(2030, 1, 1, tzinfo=UTC) + timedelta(seconds=sum(self.slept))

    def monotonic(self) -> float:
        return sum(self.slept)

    async def sleep(self, duration: timedelta) -> None:
        self.slept.append(duration.total_seconds())
        done = self._after(len(self.slept))
        if asyncio.iscoroutine(done):
            await done


def _services(url: str, clock: Hours) -> ServiceHandler:
    return ServiceHandler(Settings(database_url=SecretStr(url)), clock=clock, jitter=lambda: 0.99)


async def test_the_time_to_wait_is_bounded(silent: socket.socket, capsys: pytest.CaptureFixture[str]) -> None:
    clock = Hours()
    async with _services(f"postgresql://me@127.0.0.1:{silent.getsockname()[1]}/nothing", clock) as services:
        with pytest.raises(Unreachable, match="takes no connection"):
            await migrate(services, patience=timedelta(minutes=1))
    assert 50 < sum(clock.slept) <= 60
    assert 1 == capsys.readouterr().err.count("trying for 60 seconds")


@asynccontextmanager
async def later(url: str, door: socket.socket) -> AsyncIterator[tuple[str, Callable[[int], object]]]:
    """Give the URL of a server that begins to listen, and to hand on to ``url``'s, when a function is given a 3."""
    there, port = urlsplit(url), door.getsockname()[1]
    servers: list[asyncio.Server] = []
    tasks: set[asyncio.Task[None]] = set()

    async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65_536):
            target.write(data)
        target.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up, down = await asyncio.open_connection(there.hostname, there.port)
        tasks.update({asyncio.create_task(copy(reader, down)), asyncio.create_task(copy(up, writer))})

    async def begin() -> None:
        servers.append(await asyncio.start_server(serve, sock=door))

    yield url.replace(f":{there.port}/", f":{port}/"), lambda number: begin() if number == 3 else None
    for server in servers:
        server.close()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_database_that_answers_later_is_waited_for(empty: str, silent: socket.socket) -> None:
    async with later(empty, silent) as (url, after):
        clock = Hours(after)
        async with _services(url, clock) as services:
            outcome = await migrate(services, patience=timedelta(minutes=1))
    assert (tuple(FILES), 3) == (outcome.now, len(clock.slept))


async def test_a_lock_is_not_waited_for_longer_than_asked(empty: str, tmp_path: Path) -> None:
    (tmp_path / "0001_one.sql").write_text("create table one (n int)")
    (tmp_path / "0002_two.sql").write_text("alter table one add m int")
    database = Database(empty, max_connections=2)
    wait = timedelta(milliseconds=50)
    async with database.transaction() as holder:
        await holder.execute("select pg_advisory_xact_lock(x'45544C4D'::int)")
        with pytest.raises(Transient, match="SQLSTATE 55P03"):
            await apply(database, tmp_path, lock_wait=wait)
    (tmp_path / "0002_two.sql").rename(tmp_path / "later")
    await apply(database, tmp_path, lock_wait=wait)
    (tmp_path / "later").rename(tmp_path / "0002_two.sql")
    async with database.transaction() as holder:
        await holder.execute("select * from one")
        with pytest.raises(Transient, match="SQLSTATE 55P03"):
            await apply(database, tmp_path, lock_wait=wait)
    assert ["0002_two.sql"] == await apply(database, tmp_path, lock_wait=wait)
    await database.aclose()
