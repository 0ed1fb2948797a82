"""From what asyncpg raises to what the product understands. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import asyncpg

from etl_core.errors import AccessDenied, ConfigError, EtlError, InvalidData, Permanent, Transient, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable

URL_FORM: Final = "write it as postgresql://user:password@host:port/database"

_UNREACHABLE: Final = (asyncpg.TooManyConnectionsError, asyncpg.CannotConnectNowError, ConnectionError, TimeoutError)
_TRANSIENT: Final = (
    asyncpg.PostgresConnectionError,  # class 08: the connection broke while in use
    asyncpg.InsufficientResourcesError,  # class 53
    asyncpg.OperatorInterventionError,  # class 57: shutdown, restart, cancelled, statement timeout
    asyncpg.TransactionRollbackError,  # class 40: serialisation failure, deadlock
    asyncpg.LockNotAvailableError,
)
_LOG_IN: Final = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError)
_SCHEMA: Final = (asyncpg.SyntaxOrAccessError, asyncpg.InvalidSchemaNameError)  # class 42, but for denied access

_TRANSLATIONS: Final[tuple[tuple[tuple[type[Exception], ...], Callable[[Exception], EtlError]], ...]] = (
    (
        (asyncpg.DataError,),
        lambda error: InvalidData(f"the database refuses a value of the data: {_code(error)}"),
    ),
    (
        (asyncpg.ClientConfigurationError,),
        lambda _: ConfigError(
            "the database URL is not one",
            where="database",
            way_out=URL_FORM,
        ),
    ),
    (
        _LOG_IN,
        lambda error: ConfigError(
            f"the database refuses the log-in: {_code(error)}",
            where="database",
            way_out="check user, password and database name in the database URL",
        ),
    ),
    (
        (asyncpg.InsufficientPrivilegeError,),
        lambda error: AccessDenied(f"database: {_first_line(error)} ({_code(error)})"),
    ),
    (
        _SCHEMA,
        lambda error: ConfigError(
            f"the schema does not fit the query: {_first_line(error)} ({_code(error)})",
            where="database",
            way_out="create the schema, or give queries of your own that fit yours",
        ),
    ),
    (_UNREACHABLE, lambda error: Unreachable(f"the database takes no connection: {_code(error)}")),
    (_TRANSIENT, lambda error: Transient(f"the database broke off: {_code(error)}")),
    ((asyncpg.PostgresError,), lambda error: Permanent(f"the database refuses: {_code(error)}")),
)
"""First match wins; only for classes whose messages name identifiers, never values, is the server's message shown."""


def translate(error: Exception) -> EtlError | None:
    """Return the error to raise instead, or None where ``error`` is not the database's doing."""
    for kinds, made in _TRANSLATIONS:
        if isinstance(error, kinds):
            return made(error)
    if isinstance(error, asyncpg.InterfaceError) and "connection" in str(error):
        return Transient("the database connection is gone")
    return None


def may_show_values(error: Exception) -> bool:
    """Say whether the vendor's message may quote what is in a row, or the URL with its password."""
    return isinstance(
        error, asyncpg.DataError | asyncpg.IntegrityConstraintViolationError | asyncpg.ClientConfigurationError
    )


def _code(error: Exception) -> str:
    name = type(error).__name__.removesuffix("Error")
    state = getattr(error, "sqlstate", None)
    return f"SQLSTATE {state} ({name})" if state else name


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
