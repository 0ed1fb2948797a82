"""Postgres: a pool that opens on first use, server-side cursors, transactions; raises the errors of `etl_core`."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import urlsplit

import asyncpg

from etl_core.database.faults import URL_FORM, may_show_values, translate
from etl_core.errors import ConfigError, Transient, Unreachable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence

    from asyncpg.pool import Pool, PoolConnectionProxy
    from asyncpg.prepared_stmt import PreparedStatement

    Record = asyncpg.Record
    Connection = PoolConnectionProxy[asyncpg.Record]

PREFETCH: Final = 1000
"""Rows that a cursor holds at once."""

CLOSE_WITHIN: Final = 5.0
"""Seconds that connections in use have to come back before they are cut."""

_SESSION: Final = {
    # One way to read and write dates whatever the server's default is: an ambiguous 01/02/2003 is an error, no guess.
    "DateStyle": "ISO, YMD",
    "TimeZone": "UTC",
    "application_name": "pipeline-processing",
}


class Database:
    """One database. No call connects before it needs to; `aclose` ends all connections.

    Behind PgBouncer in transaction mode ``statement_cache_size`` must be 0. ``variable`` is what its user set ``url``
    by.
    """

    def __init__(
        self,
        url: str,
        *,
        statement_cache_size: int = 100,
        max_connections: int = 10,
        connect_timeout: float = 10.0,
        variable: str = "the database URL",
    ) -> None:
        self._url = url
        self._variable = variable
        self._statement_cache_size = statement_cache_size
        self._max_connections = max_connections
        self._connect_timeout = connect_timeout
        self._pool: Pool[Record] | None = None
        self._opening = asyncio.Lock()

    async def fetch(
        self, sql: str, *args: object, columns: Sequence[str] | None = None, where: str = ""
    ) -> list[Record]:
        """Return all rows; for a result that may be large use `cursor`. ``columns`` and ``where`` as there."""
        async with self._connection() as connection:
            statement = await connection.prepare(sql)
            _check(statement, args, columns, where)
            return await statement.fetch(*args)

    async def execute(self, sql: str, *args: object) -> str:
        """Run one statement, or without ``args`` a whole script, and return the server's status line."""
        async with self._connection() as connection:
            return await connection.execute(sql, *args)

    async def cursor(
        self,
        sql: str,
        *args: object,
        prefetch: int = PREFETCH,
        columns: Sequence[str] | None = None,
        where: str = "",
    ) -> AsyncGenerator[Record, None]:
        """Yield rows from a server-side cursor in a read-only transaction on one snapshot, ``prefetch`` held at once.

        With ``columns``, a query that returns others is a ConfigError (at ``where``) before the first row.
        Close the iterator (``contextlib.aclosing``) where it may be left early: it holds a connection.
        """
        async with self.transaction(read_only=True) as connection:
            statement = await connection.prepare(sql)
            _check(statement, args, columns, where)
            async for record in statement.cursor(*args, prefetch=prefetch):
                yield record

    @asynccontextmanager
    async def transaction(self, *, read_only: bool = False) -> AsyncIterator[Connection]:
        """Give a connection inside a transaction: committed at the end, rolled back by an exception."""
        isolation: Literal["repeatable_read", "read_committed"] = "repeatable_read" if read_only else "read_committed"
        async with (
            self._connection() as connection,
            connection.transaction(isolation=isolation, readonly=read_only),
        ):
            yield connection

    async def aclose(self) -> None:
        """Close every connection; the database may be used again afterwards."""
        pool, self._pool = self._pool, None
        if pool is not None:
            try:
                with _talking():
                    await asyncio.wait_for(pool.close(), CLOSE_WITHIN)
            except Transient:
                pool.terminate()  # a cursor that nobody closed holds its connection for ever

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        with _connecting(_place(self._url), self._variable):
            pool = await self._opened()
            connection = await pool.acquire()
        try:
            with _talking():
                yield connection
        finally:
            await pool.release(connection)

    async def _opened(self) -> Pool[Record]:
        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self._url,
                    min_size=0,
                    max_size=self._max_connections,
                    timeout=self._connect_timeout,
                    statement_cache_size=self._statement_cache_size,
                    server_settings=_SESSION,
                )
            return self._pool


@contextmanager
def _connecting(place: str, variable: str) -> Iterator[None]:
    """Translate on the way in: here any OSError is the network's, any ValueError the URL's."""
    try:
        with _talking():
            yield
    except (OSError, Unreachable) as error:
        vendor = error.__cause__ if isinstance(error, Unreachable) else error
        told = f" ({error})" if getattr(vendor, "sqlstate", None) else ""
        raise Unreachable(f"{place}: takes no connection{told} (is it up? {variable} says where)") from vendor
    except ValueError:
        raise ConfigError(
            "the database URL is not one", where="database", way_out=URL_FORM
        ) from None  # it quotes the URL, and so a password


def _place(url: str) -> str:
    """Return where the database is, without anything that may be of its password."""
    try:
        there = urlsplit(url).netloc
    except ValueError:
        return "database"
    user, at, address = there.rpartition("@")
    is_plain = url.count("@") == len(at) and "@" not in user
    return f"database {address}" if is_plain and address else "database"


@contextmanager
def _talking() -> Iterator[None]:
    """Translate in use: a caller's own OSError or ValueError inside a transaction passes as it is."""
    try:
        yield
    except (asyncpg.PostgresError, asyncpg.InterfaceError, ConnectionError, TimeoutError) as error:
        translated = translate(error)
        if translated is None:
            raise
        # A data error's message quotes the offending value: not even as a cause may it reach a log (law 13).
        raise translated from (None if may_show_values(error) else error)


def _check(
    statement: PreparedStatement[Any], args: Sequence[object], columns: Sequence[str] | None, where: str
) -> None:
    parameters = len(statement.get_parameters())
    if parameters != len(args):
        raise ConfigError(
            f"the query takes {parameters} parameters, {len(args)} are given",
            where=where,
            way_out="keep the parameters of the query that it replaces",
        )
    found = tuple(attribute.name for attribute in statement.get_attributes())
    if columns is not None and found != tuple(columns):
        raise ConfigError(
            f"the query returns the columns {', '.join(found) or '(none)'}; expected {', '.join(columns)}",
            where=where,
            way_out="select these columns, under these names and in this order",
        )
