"""`pipeline-processing contracts lint|show|diff|infer|schema`."""

from __future__ import annotations

import re
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import orjson

from etl_core.errors import ConfigError
from pipeline_processing.arguments import Parser
from pipeline_processing.cli.exits import DONE, PARTLY, USAGE
from pipeline_processing.cli.terminal import print_json, print_pairs, print_table
from pipeline_processing.cli.writing import check_target, write
from pipeline_processing.readers import ROW
from pipeline_processing.reports.text import counted, printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    import polars as pl

    from pipeline_processing.contracts.diff import Change
    from pipeline_processing.contracts.faults import Fault
    from pipeline_processing.contracts.model import Contract
    from pipeline_processing.readers import Reject, Rows

_PROG: Final = "pipeline-processing contracts"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one of the commands about contracts; return its exit code."""
    options = _parser().parse_args(argv)
    code: int = options.call(options)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog=_PROG,
        description="Contracts of datasets, in YAML of the Open Data Contract Standard; see docs/contracts.md.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    lint = commands.add_parser("lint", help="say every fault and warning; exit code 2 on faults")
    lint.add_argument("files", metavar="FILE", nargs="+", type=Path, help="contracts, *.odcs.yaml")
    lint.add_argument("--strict", action="store_true", help="exit code 3 on warnings too")
    lint.set_defaults(call=_lint)
    show = commands.add_parser("show", help="show a contract as it was understood")
    show.add_argument("file", metavar="FILE", type=Path)
    show.add_argument("--dataset", metavar="NAME", help="one of several tables (default: all)")
    show.set_defaults(call=_show)
    diff = commands.add_parser("diff", help="what changed, and which of it breaks; exit code 3 when any does")
    diff.add_argument("old", metavar="OLD", type=Path)
    diff.add_argument("new", metavar="NEW", type=Path)
    diff.set_defaults(call=_diff)
    infer = commands.add_parser("infer", help="write a first contract from a sample of the data")
    infer.add_argument("file", metavar="FILE", type=Path, help="a sample: CSV, JSON, XLSX, Parquet …")
    infer.add_argument("--dataset", metavar="NAME", help="the table's name (default: the file's)")
    infer.add_argument("--output", metavar="PATH", type=Path, help="where to write it (default: stdout)")
    infer.add_argument("--force", action="store_true", help="overwrite what is at --output")
    infer.set_defaults(call=_infer)
    schema = commands.add_parser("schema", help="print the JSON schema of contracts, for editors")
    schema.set_defaults(call=_schema)
    for command in (lint, show, diff, infer, schema):
        command.add_argument("--json", action="store_true", help="one JSON document on stdout")
    return parser


def _lint(options: argparse.Namespace) -> int:
    from pipeline_processing.contracts.faults import ContractError  # noqa: PLC0415 - the engine takes half a second
    from pipeline_processing.contracts.lint import lint  # noqa: PLC0415 - see above

    found: dict[str, tuple[tuple[Contract, ...], tuple[Fault, ...], tuple[Fault, ...]]] = {}
    for path in options.files:
        try:
            found[str(path)] = lint(_text(path), source=str(path))
        except ContractError as error:
            found[str(path)] = ((), error.faults, ())
    if options.json:
        print_json(
            {
                "files": [
                    {
                        "file": name,
                        "datasets": [contract.dataset for contract in contracts] if not faults else [],
                        "faults": [asdict(fault) for fault in faults],
                        "warnings": [asdict(warning) for warning in warnings],
                    }
                    for name, (contracts, faults, warnings) in found.items()
                ]
            }
        )
    else:
        for name, (contracts, faults, warnings) in found.items():
            _tell(name, contracts, faults, warnings)
    if any(faults for _, faults, _ in found.values()):
        return USAGE
    return PARTLY if options.strict and any(warnings for _, _, warnings in found.values()) else DONE


def _tell(name: str, contracts: Sequence[Contract], faults: Sequence[Fault], warnings: Sequence[Fault]) -> None:
    for kind, some in (("fault", faults), ("warning", warnings)):
        for one in some:
            print(f"{printable(name)}: {kind}: {printable(str(one))}")
    if not faults:
        datasets = ", ".join(f"{contract.dataset} {contract.version}" for contract in contracts)
        print(f"{printable(name)}: {printable(datasets)} can be used ({counted(len(warnings), 'warning')})")


def _show(options: argparse.Namespace) -> int:
    from pipeline_processing.contracts import show  # noqa: PLC0415 - the engine takes half a second
    from pipeline_processing.contracts.load import load, load_all  # noqa: PLC0415 - see above

    contracts = (load(options.file, dataset=options.dataset),) if options.dataset else load_all(options.file)
    if options.json:
        print_json({"contracts": [show.as_json(contract) for contract in contracts]})
        return DONE
    for contract in contracts:
        print_pairs(
            {
                "table": contract.dataset,
                "contract": f"{contract.id} {contract.version} ({contract.status})",
                "fingerprint": contract.fingerprint,
                "about": contract.description or None,
                **dict(show.rules_of(contract)),
            }
        )
        print()
        print_table(("column", "type", "from", "rules", "care"), [show.column_row(one) for one in contract.columns])
        print()
        print_table(("check", "kind", "asks", "does"), [show.check_row(one) for one in contract.checks])
        print()
    return DONE


def _diff(options: argparse.Namespace) -> int:
    from pipeline_processing.contracts.diff import Change, diff  # noqa: PLC0415 - the engine takes half a second
    from pipeline_processing.contracts.load import load_all  # noqa: PLC0415 - see above

    old = {contract.dataset: contract for contract in load_all(options.old)}
    new = {contract.dataset: contract for contract in load_all(options.new)}
    changes: dict[str, Sequence[Change]] = {}
    for name in dict.fromkeys([*old, *new]):
        if name not in new:
            changes[name] = (Change("table", "is gone", breaking=True, why="who reads it finds it no more"),)
        elif name not in old:
            changes[name] = (Change("table", "is new"),)
        else:
            changes[name] = diff(old[name], new[name])
    breaks = any(change.breaking for some in changes.values() for change in some)
    if options.json:
        tables = {name: [asdict(change) for change in some] for name, some in changes.items()}
        print_json({"breaking": breaks, "tables": tables})
    else:
        for name, some in changes.items():
            for change in some:
                print(f"{printable(name)}: {'BREAKS ' if change.breaking else ''}{printable(str(change))}")
        print("nothing changed" if not any(changes.values()) else "breaking" if breaks else "compatible")
    return PARTLY if breaks else DONE


def _infer(options: argparse.Namespace) -> int:
    from pipeline_processing.cli.local_file import check_source  # noqa: PLC0415 - the engine takes half a second
    from pipeline_processing.contracts.document import parse  # noqa: PLC0415 - see above
    from pipeline_processing.contracts.infer import infer  # noqa: PLC0415 - see above
    from pipeline_processing.readers.open_file import open_file  # noqa: PLC0415 - see above

    if options.output and options.output.exists() and not options.force:
        raise ConfigError("there is a file already", where=str(options.output), way_out="--force overwrites it")
    check_target(options.output, where="--output")
    check_source(options.file, where="FILE")
    with open_file(options.file) as rows:
        # What is not odd is not said: it would only refuse a file that is written otherwise.
        delimiter = rows.dialect.delimiter if rows.dialect.delimiter != "," else None
        said = {"delimiter": delimiter, "encoding": _odd(rows.dialect.encoding)}
        text = infer(
            _frames(rows),
            dataset=options.dataset or options.file.name.partition(".")[0],
            source_format={name: value for name, value in said.items() if value},
        )
    if options.output:
        write(options.output, text, where="--output")
        if options.json:
            print_json({"output": str(options.output)})
        else:
            print(f"wrote {printable(str(options.output))}; read it, mend it, and try it")
    elif options.json:
        print_json(parse(text, source="contract"))
    else:
        sys.stdout.write(text)
    return DONE


def _frames(rows: Rows) -> Iterator[pl.DataFrame]:
    """Yield the rows; a totals line at the end that is no row, as it often has fewer fields, as one of a cell."""
    import polars as pl  # noqa: PLC0415 - the engine takes half a second

    from pipeline_processing.contracts.infer import TOTALS  # noqa: PLC0415 - see above

    last_row = 0
    last: Reject | None = None
    for batch in rows:
        if batch.frame.height:
            yield batch.frame
            last_row = int(batch.frame[ROW][-1])
        last = batch.rejects[-1] if batch.rejects else last
    if last is None or last.row < last_row or last.reason != "ragged":
        return
    text = last.raw.decode(rows.dialect.encoding or "utf-8", "replace").lstrip(f"{rows.dialect.delimiter or ','} '\"")
    if re.match(TOTALS, text):
        yield pl.DataFrame({rows.header[0]: [text]})


def _odd(encoding: str | None) -> str | None:
    return None if encoding is None or encoding.lower() in {"ascii", "utf-8"} else encoding


def _schema(_: argparse.Namespace) -> int:
    from pipeline_processing.contracts.schema import schema  # noqa: PLC0415 - only this command needs it

    sys.stdout.write(orjson.dumps(schema(), option=orjson.OPT_INDENT_2).decode() + "\n")
    return DONE


def _text(path: Path) -> str:
    from pipeline_processing.contracts.load import text_of  # noqa: PLC0415 - the engine takes half a second

    return text_of(path)
