"""SQL in contracts, checked before any row is read: that it parses, what it reads, what it gives."""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING, Final

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_UNSTEADY: Final = re.compile(
    r"\b(current_timestamp|current_time|localtime|localtimestamp|now|today|random|rand|uuid)\b", re.IGNORECASE
)
_TODAY: Final = re.compile(r"\bcurrent_date\b(\s*\(\s*\))?", re.IGNORECASE)
_SOME_DAY: Final = date(2000, 1, 1)
_FORBIDDEN: Final = re.compile(
    r"\b(insert|update|delete|merge|drop|alter|create|truncate|attach|detach|copy|install|load|pragma|set|call|export|"
    r"import|grant|revoke|vacuum|explain|describe|show|use)\b",
    re.IGNORECASE,
)
_READS_FILES: Final = re.compile(
    r"\b((read|scan)_\w+|glob|query_table|sniff_csv)[\"`]?\s*\(|\b(from|join)\s+'", re.IGNORECASE
)
_SCANS: Final = re.compile(r"^\W*\w+ SCAN\b", re.MULTILINE)
"""What a plan shows of a file that it reads; a frame in memory is a `DF`."""
_KEY: Final = re.compile(r"^\s*key\s*\(([^()]*)\)\s*$", re.IGNORECASE)
_LITERAL: Final = re.compile(r"'(?:[^']|'')*'")
_QUOTED: Final = re.compile(r"""('(?:[^']|'')*'|"(?:[^"]|"")*")""")
_COMMENT: Final = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_TABLE: Final = re.compile(r"\$?\{(table|object|model|schema)\}", re.IGNORECASE)
_COLUMN: Final = re.compile(r"\$?\{(column|property|field)\}", re.IGNORECASE)
_OTHER: Final = re.compile(r"\$?\{[^{}]*\}")


def expression_fault(
    expression: str, columns: Mapping[str, pl.DataType], *, boolean: bool = False, may_say_today: bool = False
) -> str | None:
    """Say what is wrong with a Polars SQL expression over ``columns``; None where it can be used.

    An expression gives a value a row from that row alone: no aggregate, no clock, no chance. Where it ``may_say_today``
    it is to be compiled from `on_day`, which makes CURRENT_DATE the day for which the run was planned.
    """
    bare = _LITERAL.sub("''", expression)
    unsteady = _UNSTEADY.search(bare) or (None if may_say_today else _TODAY.search(bare))
    if unsteady:
        return f"{unsteady[0]} gives another result each time: the same input must give the same output"
    try:
        return _trial(pl.sql_expr(on_day(expression, _SOME_DAY)), columns, boolean=boolean)
    except (pl.exceptions.PolarsError, TypeError, ValueError) as error:
        return f"it is not an expression that Polars reads: {str(error).splitlines()[0]}"
    except BaseException as error:  # a panic of the engine derives from BaseException alone
        if type(error).__name__ != "PanicException":
            raise
        return "it is not an expression that Polars reads"


def on_day(sql: str, day: date) -> str:
    """Return the SQL with ``day`` for CURRENT_DATE, which Polars does not know; texts and quoted names stay."""
    literal = f"DATE '{day.isoformat()}'"
    parts = _QUOTED.split(sql)
    return "".join(part if part.startswith(("'", '"')) else _TODAY.sub(literal, part) for part in parts)


def query_fault(told: str, *, dataset: str, columns: Mapping[str, pl.DataType]) -> str | None:
    """Say why a query, as `query` returns it, gives no number of the table; None where it does."""
    empty = pl.DataFrame(schema=dict(columns)).lazy()
    try:
        context = pl.SQLContext({"the_file": empty, dataset: empty})
        asked = context.execute(over(told, "the_file", _SOME_DAY))
        if _SCANS.search(asked.explain(optimized=False)):  # the text can hide it: in quotes, between '/*' and '*/'
            return "it reads files"
        given = asked.collect_schema()
    except pl.exceptions.PolarsError as error:
        return f"it does not run: {str(error).splitlines()[0]}"
    if len(given) != 1:
        return f"it gives {len(given)} columns, not one number"
    kind = given.dtypes()[0]
    return None if kind.is_numeric() or kind in {pl.Boolean(), pl.Null()} else f"it gives {kind}, not a number"


def over(told: str, table: str, day: date) -> str:
    """Return a query, as `query` returns it, over ``table``, a name that needs no quotes, with ``day`` as today."""
    return on_day(told.replace("{table}", table), day)


def key_columns(expression: str) -> tuple[str, ...] | None:
    """Return the columns of ``key(a, b)``, a key over files: ours, and no SQL; None for any other expression."""
    found = _KEY.match(expression)
    return tuple(name.strip().strip('"') for name in found[1].split(",") if name.strip()) if found else None


def columns_read(expression: str) -> frozenset[str]:
    """Return the columns that an expression reads; none where it can not be parsed."""
    keyed = key_columns(expression)
    if keyed is not None:
        return frozenset(keyed)
    try:
        return frozenset(pl.sql_expr(expression).meta.root_names())
    except pl.exceptions.PolarsError:
        return frozenset()


def _trial(compiled: pl.Expr, columns: Mapping[str, pl.DataType], *, boolean: bool) -> str | None:
    """Run the expression on rows of nulls: what it reads, what it gives, and that it is of one row alone."""
    read = compiled.meta.root_names()
    if not read:
        return "it reads no column"
    unknown = sorted(set(read) - columns.keys())
    if unknown:
        return f"it reads {', '.join(unknown)}: there is no such column"
    if any(_looks_around(part) for part in _parts(compiled)):
        return "it looks at more than one row"
    rows = pl.DataFrame({name: [None] * 3 for name in read}, schema={name: columns[name] for name in read})
    given = rows.select(compiled.alias("given")).schema["given"]
    if boolean and given not in {pl.Boolean(), pl.Null()}:
        return f"it gives {given}, not true or false"
    return None


def _parts(expression: pl.Expr) -> Iterator[pl.Expr]:
    yield expression
    for part in expression.meta.pop():
        yield from _parts(part)


def _looks_around(part: pl.Expr) -> bool:
    """Say whether a part is an aggregate, a window or a subquery. Polars can not tell of all without a frame."""
    text = str(part)
    if ".subplan(" in text or "len()" in text:
        return True
    if not part.meta.root_names():
        return False  # a constant; the list of an IN is a Series, which Polars does not take for one
    try:
        is_of_its_row = part.meta.is_row_separable() and not (part.meta.is_scalar() and part.meta.root_names())
    except pl.exceptions.ColumnNotFoundError:  # `a IN (1, 2)`
        return False
    return not is_of_its_row


def query(text: str, *, dataset: str, column: str | None) -> tuple[str, str | None]:
    """Return the query with ``{table}`` for its table and the column's name in its place, and what is wrong with it.

    Placeholders may be those of other tools: ``${table}``, ``{object}``, ``{model}``; ``{property}``, ``{field}``.
    """
    told = _TABLE.sub("{table}", text.strip().rstrip(";").strip())
    if column is not None:
        quoted = '"' + column.replace('"', '""') + '"'
        told = _COLUMN.sub(lambda _: quoted, told)
    elif _COLUMN.search(told):
        return told, "it names {column}, but stands at the table"
    if "{table}" not in told:
        told = re.sub(rf"\b(from|join)(\s+){re.escape(dataset)}\b", r"\1\2{table}", told, flags=re.IGNORECASE)
    bare = _LITERAL.sub("''", _COMMENT.sub(" ", told))
    forbidden = _FORBIDDEN.search(bare)
    fault = None
    if not re.match(r"\s*(select|with)\b", bare, re.IGNORECASE) or forbidden:
        fault = f"it is not a query{f': it has {forbidden[0]}' if forbidden else ''}"
    elif ";" in bare:
        fault = "it is more than one query"
    elif _READS_FILES.search(bare):
        fault = "it reads files"
    elif _UNSTEADY.search(bare):
        fault = "it gives another result each time: the same input must give the same verdict"
    elif others := [match[0] for match in _OTHER.finditer(told) if match[0] != "{table}"]:
        fault = f"there is no placeholder {others[0]}"
    elif "{table}" not in told:
        fault = "it does not read the table: FROM {table}"
    return told, fault
