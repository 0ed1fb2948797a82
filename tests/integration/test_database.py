"""The database on a real Postgres: errors as the product understands them, cursors, transactions, migrations."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

import pytest

from etl_core.database import Database
from etl_core.database.migrations import apply
from etl_core.errors import AccessDenied, ConfigError, EtlError, InvalidData, Permanent, Transient, Unreachable
from pipeline_processing.repositories.schema import migrate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from conftest import LocalStack  # type: ignore[attr-defined]  # mypy takes another folder's conftest


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url, max_connections=2)
    yield opened
    await opened.aclose()


async def test_making_a_database_connects_nowhere() -> None:
    database = Database("postgresql://nobody@127.0.0.1:1/nothing")
    await database.aclose()


@pytest.mark.parametrize(
    ("sql", "kind", "says"),
    [
        ("select nothing from agencies", ConfigError, 'column "nothing" does not exist (SQLSTATE 42703'),
        ("select 1 from nowhere", ConfigError, 'relation "nowhere" does not exist (SQLSTATE 42P01'),
        ("selec 1", ConfigError, "SQLSTATE 42601"),
        ("select 'secret'::text::date", InvalidData, "SQLSTATE 22007"),
        ("select '2020-02-30'::text::date", InvalidData, "SQLSTATE 22008"),
        ("select '01/02/2003'::text::date", InvalidData, "SQLSTATE 22008"),
        ("select 'secret'::text::int", InvalidData, "SQLSTATE 22P02"),
        ("insert into agencies values ('', 'secret')", Permanent, "SQLSTATE 23514"),
        ("select pg_terminate_backend(pg_backend_pid())", Transient, "broke off"),
    ],
)
async def test_errors_are_translated_and_show_no_row_values(
    database: Database, sql: str, kind: type[EtlError], says: str
) -> None:
    with pytest.raises(kind) as caught:
        await database.fetch(sql)

    assert says in str(caught.value)
    assert "secret" not in f"{caught.value} {caught.value.__cause__}"


async def test_a_wrong_argument_is_invalid_data_without_its_value(database: Database) -> None:
    with pytest.raises(InvalidData) as caught:
        await database.fetch("select $1::int", "secret")
    assert "secret" not in f"{caught.value} {caught.value.__cause__}"


async def test_a_denied_table_is_denied(database: Database) -> None:
    await database.execute("create role weak; grant weak to current_user")
    with pytest.raises(AccessDenied, match="permission denied for table agencies"):
        await database.execute("begin; set local role weak; select 1 from agencies")
    await database.execute("drop role weak")


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("postgresql://postgres@127.0.0.1:1/x", Unreachable),
        ("postgresql://postgres@nowhere.invalid/x", Unreachable),
        ("http://secret@host/x", ConfigError),
        ("postgresql://user:secret@host:secret/x", ConfigError),
    ],
)
async def test_a_database_that_can_not_be_reached(url: str, kind: type[EtlError]) -> None:
    database = Database(url, connect_timeout=5)

    with pytest.raises(kind) as caught:
        await database.fetch("select 1")
    assert "secret" not in f"{caught.value} {caught.value.__cause__}"
    await database.aclose()


async def test_an_unknown_database_or_user_is_a_fault_of_the_settings(database_url: str) -> None:
    address, _, name = database_url.rpartition("@")[2].partition("/")
    for url in (f"{database_url}_no", f"postgresql://no_such_user:x@{address}/{name}"):
        database = Database(url)
        with pytest.raises(ConfigError, match="the database refuses the log-in: SQLSTATE"):
            await database.fetch("select 1")
        await database.aclose()


async def test_too_many_connections_are_transient(local_stack: LocalStack, database_url: str) -> None:
    name = database_url.rpartition("/")[2]
    local_stack.sql(f'alter database "{name}" connection limit 0')
    local_stack.sql("create role small login password 'small'")
    address = database_url.partition("@")[2]
    database = Database(f"postgresql://small:small@{address}")
    try:
        with pytest.raises(Unreachable, match="SQLSTATE 53300"):
            await database.fetch("select 1")
    finally:
        await database.aclose()
        local_stack.sql("drop role small")


async def test_the_pool_recovers_from_a_dropped_connection(database: Database) -> None:
    with pytest.raises(Transient):
        await database.fetch("select pg_terminate_backend(pg_backend_pid())")

    assert [1] == [row["one"] for row in await database.fetch("select 1 as one")]


async def test_a_cursor_yields_rows_in_order_and_gives_its_connection_back_when_left_early(database: Database) -> None:
    for _ in range(5):  # more often than there are connections
        async with aclosing(database.cursor("select n from generate_series(1, 10000) n", prefetch=10)) as rows:
            assert 1 == (await anext(rows))["n"]

    everything = [row["n"] async for row in database.cursor("select n from generate_series(1, $1) n", 2500)]
    assert list(range(1, 2501)) == everything


async def test_a_cursor_can_not_write(database: Database) -> None:
    with pytest.raises(Permanent, match="SQLSTATE 25006"):
        [row async for row in database.cursor("insert into agencies values ('1', 'x') returning id")]


async def test_a_cursor_sees_one_snapshot(database: Database) -> None:
    await database.execute("insert into agencies select n::text, 'x' from generate_series(1, 100) n")
    async with aclosing(database.cursor("select id from agencies", prefetch=1)) as rows:
        await anext(rows)
        await database.execute("delete from agencies")

        assert 99 == len([row async for row in rows])


async def test_wrong_columns_are_said_before_the_first_row(database: Database) -> None:
    with pytest.raises(ConfigError) as caught:
        await anext(database.cursor("select 1 as a, 2 as b", columns=("a", "c"), where="q.sql"))
    assert str(caught.value).startswith("q.sql: the query returns the columns a, b; expected a, c")


async def test_wrong_parameters_are_said(database: Database) -> None:
    with pytest.raises(ConfigError, match="takes 2 parameters, 1 are given"):
        await database.fetch("select $1::text, $2::text", "x")


async def test_a_transaction_is_all_or_nothing_and_lets_its_caller_s_errors_through(database: Database) -> None:
    async def write_and_fail() -> None:
        async with database.transaction() as connection:
            await connection.execute("insert into agencies values ('1', 'x')")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        await write_and_fail()

    assert [] == await database.fetch("select id from agencies")


async def test_it_works_without_prepared_statements(database_url: str) -> None:
    database = Database(database_url, statement_cache_size=0)
    assert 3 == len([row async for row in database.cursor("select n from generate_series(1, $1) n", 3)])
    await database.aclose()


async def test_migrations_are_applied_once_even_by_two_at_once(database: Database, tmp_path: Path) -> None:
    (tmp_path / "0001_one.sql").write_text("create table one (n int); insert into one values (1)")
    (tmp_path / "0002_two.sql").write_text("insert into one values (2)")
    (tmp_path / "notes.txt").write_text("no migration")
    await database.execute("drop table schema_migrations")

    applied = await asyncio.gather(apply(database, tmp_path), apply(database, tmp_path))

    assert [[], ["0001_one.sql", "0002_two.sql"]] == sorted(applied)
    assert [1, 2] == [row["n"] for row in await database.fetch("select n from one order by n")]


async def test_a_migration_that_fails_leaves_nothing(database: Database, tmp_path: Path) -> None:
    (tmp_path / "0001_one.sql").write_text("create table one (n int)")
    (tmp_path / "0002_two.sql").write_text("insert into nowhere values (2)")
    await database.execute("drop table schema_migrations")

    with pytest.raises(ConfigError, match="nowhere"):
        await apply(database, tmp_path)
    assert [] == await database.fetch("select 1 from pg_tables where tablename in ('one', 'schema_migrations')")


async def test_an_altered_or_missing_migration_is_refused(database: Database, tmp_path: Path) -> None:
    await database.execute("drop table schema_migrations")
    for name in ("0001_one.sql", "0002_two.sql"):
        (tmp_path / name).write_text("select 1")
    await apply(database, tmp_path)
    (tmp_path / "0001_one.sql").write_text("select 2")
    (tmp_path / "0002_two.sql").unlink()

    with pytest.raises(ConfigError, match=r"0001_one\.sql was altered; 0002_two\.sql is gone"):
        await apply(database, tmp_path)


async def test_the_reference_schema_can_be_migrated_again(database_url: str) -> None:
    await migrate(database_url)
