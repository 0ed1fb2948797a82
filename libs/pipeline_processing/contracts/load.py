"""From a document of the Open Data Contract Standard to contracts. What is not honoured is refused by name."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from open_data_contract_standard.model import OpenDataContractStandard
from pydantic import ValidationError

from etl_core.errors import ConfigError
from pipeline_processing.contracts import descriptive, document, structure
from pipeline_processing.contracts.dataset import (
    columns_and_checks,
    dedupe_of,
    drift_of,
    format_of,
    quarantine_of,
    references_of,
)
from pipeline_processing.contracts.faults import Faults, meant
from pipeline_processing.contracts.model import Contract
from pipeline_processing.contracts.scope import Scope, ours
from pipeline_processing.contracts.sla import sla_of
from pipeline_processing.model import canonical_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from open_data_contract_standard.model import SchemaObject

    from pipeline_processing.contracts.model import Check, Column
    from pipeline_processing.model import Json

_NOT_IN_OUTPUT: Final = {
    "column": ("description", "examples"),
    "check": ("description", "dimension"),
    "contract": ("id", "version", "status", "description", "sla", "fingerprint"),
}


BESIDE: Final = ("__quarantine", "__decisions", "__files", "__profiles")
"""Endings of the tables that stand beside a dataset's own."""


def load(source: Path | str, *, dataset: str | None = None) -> Contract:
    """Return the contract of ``source``: a path, or the document's text (anything with a line break in it).

    ``dataset`` is needed where the document describes several tables. Raises ContractError with every fault at once.
    """
    contracts = load_all(source)
    if dataset is None and len(contracts) == 1:
        return contracts[0]
    for contract in contracts:
        if contract.dataset == dataset:
            return contract
    names = [contract.dataset for contract in contracts]
    what = f"the contract has no table {dataset}" if dataset else "the contract describes several tables"
    raise ConfigError(what, where=_where(source), way_out=meant(dataset or "", names))


def load_all(source: Path | str) -> tuple[Contract, ...]:
    """Return one contract a table of the document; as for `load`."""
    where = _where(source)
    contracts, faults = examine(document.parse(_text(source), source=where))
    faults.raise_any(where)
    return contracts


def examine(parsed: Mapping[str, Json]) -> tuple[tuple[Contract, ...], Faults]:
    """Return what could be made of a parsed document, and every fault of it: with any, the contracts are not whole."""
    faults = Faults()
    rest = structure.sound(parsed, faults)
    structure.custom_names_once(parsed, faults)
    for path, what in descriptive.errors_of(parsed):
        faults.add(structure.place_of(parsed, path), what)
    try:
        model = OpenDataContractStandard.model_validate({name: rest[name] for name in rest if name in _READ})
    except ValidationError as error:
        for one in error.errors():
            faults.add(".".join(str(part) for part in one["loc"]), one["msg"])
        return (), faults
    declared = _declared(parsed)
    tables = [table for table in model.schema_ or () if table.properties]
    _once("schema", [table.name or "" for table in tables], faults)
    scopes = [Scope(table.name or "", declared.get(table.name or "", ()), faults) for table in tables]
    compiled = [_compiled(table, scope) for table, scope in zip(tables, scopes, strict=True)]
    datasets = {scope.dataset: columns for scope, (columns, _) in zip(scopes, compiled, strict=True)}
    contracts = tuple(
        _contract(model, table, parts, datasets, scope)
        for table, parts, scope in zip(tables, compiled, scopes, strict=True)
    )
    return contracts, faults


_READ: Final = frozenset({"id", "version", "status", "apiVersion", "schema", "slaDefaultElement", "slaProperties"})
"""What the compilation reads; the rest is described, and checked by the schema."""


def fingerprint_of(contract: Contract) -> str:
    """Return 16 hex digits over everything that changes what comes out: not names of people, texts, versions."""
    parts = asdict(contract)
    for name in _NOT_IN_OUTPUT["contract"]:
        del parts[name]
    for kind, plural in (("column", "columns"), ("check", "checks")):
        for part in parts[plural]:
            for name in _NOT_IN_OUTPUT[kind]:
                del part[name]
    return hashlib.blake2b(canonical_json(parts), digest_size=8).hexdigest()


def _compiled(table: SchemaObject, scope: Scope) -> tuple[tuple[Column, ...], tuple[Check, ...]]:
    _once(f"{scope.place}.properties", [one.name or "" for one in table.properties or ()], scope.faults)
    return columns_and_checks(table, scope)


def _contract(
    model: OpenDataContractStandard,
    table: SchemaObject,
    compiled: tuple[tuple[Column, ...], tuple[Check, ...]],
    datasets: Mapping[str, tuple[Column, ...]],
    scope: Scope,
) -> Contract:
    name = scope.dataset
    if name.endswith(BESIDE):
        scope.faults.add(
            f"{scope.place}.name", f"{name!r} is the name of a table beside another", "choose another ending"
        )
    columns, checks = compiled
    custom = ours(table.customProperties)
    levels, fresh = sla_of(model.slaProperties or (), model.slaDefaultElement, datasets, scope)
    contract = Contract(
        id=model.id or "",
        version=model.version or "",
        dataset=name,
        columns=columns,
        checks=(*checks, *fresh),
        fingerprint="",
        status=model.status or "",
        description=table.description or "",
        dedupe=dedupe_of(custom, columns, scope),
        references=references_of(custom, columns, scope),
        format=format_of(custom, scope),
        quarantine=quarantine_of(custom),
        drift=drift_of(custom),
        sla=levels,
        unknown_columns=custom.get("unknownColumns", "ignore"),
    )
    return replace(contract, fingerprint=fingerprint_of(contract))


def _declared(parsed: Mapping[str, Json]) -> dict[str, tuple[str, ...]]:
    """Return every column's name by table, those that have faults too: a reference to them is no fault of its own."""
    found: dict[str, tuple[str, ...]] = {}
    tables = parsed.get("schema")
    for table in tables if isinstance(tables, list) else ():
        properties = table.get("properties") if isinstance(table, dict) else None
        if isinstance(properties, list):
            names = [one.get("name") for one in properties if isinstance(one, dict)]
            found[str(table.get("name"))] = tuple(name for name in names if isinstance(name, str))
    return found


def _once(place: str, names: Iterable[str], faults: Faults) -> None:
    seen: dict[str, str] = {}
    for name in names:
        if name.casefold() in seen:
            faults.add(f"{place}.{name}", f"the name stands twice ({seen[name.casefold()]}, {name})")
        seen[name.casefold()] = name


def text_of(path: Path) -> str:
    """Return the text of a contract's file; ConfigError where it can not be read as UTF-8."""
    try:
        with path.open("rb") as file:
            return file.read(document.MAX_BYTES + 1).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError("a contract is UTF-8 text", where=str(path)) from error
    except OSError as error:
        what = f"the contract can not be read: {error.strerror or error}"
        raise ConfigError(what, where=str(path), way_out="give the path of an ODCS YAML file") from error


def _text(source: Path | str) -> str:
    return source if isinstance(source, str) and "\n" in source else text_of(Path(source))


def _where(source: Path | str) -> str:
    return "contract" if isinstance(source, str) and "\n" in source else str(source)
