"""What is read from Postgres, by the built-in queries and by a deployment's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from etl_core.database import Database
from etl_core.errors import ConfigError, InvalidData
from pipeline_processing.repositories.attachments import Agency, AttachmentFile, AttachmentRepository
from pipeline_processing.repositories.employment_history import COLUMNS, EmploymentHistoryRepository

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

OWN_ATTACHMENTS = """
-- name: agencies
select code as agency_id, title as name from departments;
-- name: get_attachment_files_for_s3_processing
select f.number::text as attachment_id, null::text as employee_id, f.path as source_key,
       null::bigint as size_bytes, null::text as etag, null::text as version_id
  from files f where f.code = $1::text
"""


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url)
    await opened.execute("insert into agencies values ('10', 'Springfield'), ('9', 'Shelbyville')")
    yield opened
    await opened.aclose()


async def read(repository: AttachmentRepository, agency_id: str) -> list[AttachmentFile]:
    return [file async for file in repository.get_attachment_files_for_s3_processing(agency_id)]


async def test_agencies_are_sorted_by_id(database: Database) -> None:
    repository = AttachmentRepository(database, queries_dir=None)

    assert [Agency("10", "Springfield"), Agency("9", "Shelbyville")] == await repository.agencies()


async def test_attachments_are_those_of_the_agency_with_what_is_known_of_them(database: Database) -> None:
    await database.execute(
        """insert into attachments (id, agency_id, employee_id, source_key, size_bytes, etag, version_id) values
           (2, '10', 7, '10/b', 3, '"abc"', 'v1'), (1, '10', null, '10/ä ', null, '', ''),
           (3, '9', null, 'x', 1, 'e', null)"""
    )

    assert [
        AttachmentFile("1", "10/ä "),
        AttachmentFile("2", "10/b", "7", 3, "abc", "v1"),
    ] == await read(AttachmentRepository(database, queries_dir=None), "10")
    assert [] == await read(AttachmentRepository(database, queries_dir=None), "unknown")


async def test_histories_come_in_one_order_with_dates_cast_and_intervals_as_they_are(database: Database) -> None:
    await database.execute(
        """insert into employment_history (id, agency_id, last_name, birth_year, unit, start_date, end_date) values
           (2, '10', 'B', '1971.0', '14.0', '2007-03-29', '2007-03-28'), (1, '10', 'A', null, null, '', null),
           (3, '9', 'C', null, null, null, null)"""
    )
    repository = EmploymentHistoryRepository(database, queries_dir=None)

    rows = [dict(zip(COLUMNS, row, strict=True)) async for row in repository.rows("10")]

    assert [("1", None, None), ("2", "2007-03-29", "2007-03-28")] == [
        (row["row_id"], row["start_date"], row["end_date"]) for row in rows
    ]
    assert ("1971.0", "14.0") == (rows[1]["birth_year"], rows[1]["unit"])


async def test_a_date_that_is_none_fails_its_agency_only_and_until_it_is_mended(database: Database) -> None:
    await database.execute(
        """insert into employment_history (id, agency_id, start_date)
           values (1, '10', 'unknown'), (2, '10', '2020-01-01'), (3, '9', '2020-01-01')"""
    )
    repository = EmploymentHistoryRepository(database, queries_dir=None)

    with pytest.raises(InvalidData, match="SQLSTATE 22007") as caught:
        [row async for row in repository.rows("10")]
    assert "unknown" not in str(caught.value)
    assert 1 == len([row async for row in repository.rows("9")])

    await database.execute("update employment_history set start_date = '' where id = 1")
    assert 2 == len([row async for row in repository.rows("10")])


async def test_a_deployment_s_own_queries_read_its_own_tables(database: Database, tmp_path: Path) -> None:
    (tmp_path / "attachments.sql").write_text(OWN_ATTACHMENTS)
    await database.execute(
        """create table departments (code text, title text); insert into departments values ('x', 'X');
           create table files (number int, code text, path text); insert into files values (5, 'x', 'in/5')"""
    )
    repository = AttachmentRepository(database, queries_dir=tmp_path)

    assert [Agency("x", "X")] == await repository.agencies()
    assert [AttachmentFile("5", "in/5")] == await read(repository, "x")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "no readable SQL file"),
        ("select 1", "no query agencies; it has none"),
        ("-- name: agencies\n", "no query agencies"),
        ("-- name: other\nselect 1", "no query agencies; it has other"),
        ("-- name: agencies\nselect 1", "no query get_attachment_files_for_s3_processing; it has agencies"),
    ],
)
def test_a_missing_file_or_query_is_a_fault_of_the_settings(tmp_path: Path, text: str | None, says: str) -> None:
    if text is not None:
        (tmp_path / "attachments.sql").write_text(text)

    with pytest.raises(ConfigError) as caught:
        AttachmentRepository(Database("postgresql://nowhere"), queries_dir=tmp_path)
    assert says in str(caught.value)
    assert str(tmp_path) in str(caught.value)


async def test_wrong_columns_are_an_error_that_lists_both_sets(database: Database, tmp_path: Path) -> None:
    (tmp_path / "employment_history.sql").write_text(
        "-- name: employment_history\nselect $1::text as agency, 1 as unit"
    )

    with pytest.raises(ConfigError) as caught:
        await EmploymentHistoryRepository(database, queries_dir=tmp_path).check()
    assert "returns the columns agency, unit; expected row_id, agency_id, employee_id," in str(caught.value)
    assert "employment_history.sql: employment_history" in str(caught.value)


async def test_a_missing_table_is_an_error_with_a_way_out(database: Database) -> None:
    await database.execute("drop table employment_history")

    with pytest.raises(ConfigError, match='relation "employment_history" does not exist'):
        await EmploymentHistoryRepository(database, queries_dir=None).check()


async def test_the_built_in_queries_fit_the_reference_schema(database: Database) -> None:
    await EmploymentHistoryRepository(database, queries_dir=None).check()
