"""The editors' schema says what the code does, and no more than the standard."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import pytest
import yaml
from jsonschema import Draft201909Validator

from pipeline_processing.contracts import extensions
from pipeline_processing.contracts.lint import lint
from pipeline_processing.contracts.schema import METRICS, STRING_FORMATS, TYPE_OPTIONS, schema
from pipeline_processing.contracts.steps import STEPS

if TYPE_CHECKING:
    from pipeline_processing.model import Json

ROOT = Path(__file__).parents[2]
STANDARD = ROOT / "../shared/standards/odcs/odcs-json-schema-v3.1.0.json"
CONTRACTS = sorted((ROOT / "contracts").glob("*.odcs.yaml"))


def _packaged() -> Json:
    return orjson.loads(files("open_data_contract_standard").joinpath("schema.json").read_bytes())


def _names(standard: Json, name: str) -> set[str]:
    """The fields of one of the standard's definitions, with those that it takes from others."""
    found: set[str] = set()
    waiting = [standard["$defs"][name]]
    while waiting:
        part = waiting.pop()
        found |= set(part.get("properties", ()))
        waiting += [*part.get("allOf", []), *part.get("oneOf", [])]
        waiting += [part["then"]] if "then" in part else []
        waiting += [standard["$defs"][part["$ref"].rpartition("/")[2]]] if "$ref" in part else []
    return found


def test_the_file_for_editors_is_what_the_code_checks() -> None:
    path = ROOT / "libs/pipeline_processing/contracts/schema.json"

    assert orjson.loads(path.read_bytes()) == orjson.loads(orjson.dumps(schema()))


def test_the_schema_is_one() -> None:
    Draft201909Validator.check_schema(schema())


@pytest.mark.parametrize(
    ("ours", "standard"),
    [
        ("dataset", "SchemaObject"),
        ("column", "SchemaProperty"),
        ("quality", "DataQuality"),
        ("sla", "ServiceLevelAgreementProperty"),
    ],
)
def test_no_field_is_accepted_that_the_standard_has_not(ours: str, standard: str) -> None:
    assert set() == set(schema()["$defs"][ours]["properties"]) - _names(_packaged(), standard)


def test_no_option_of_a_type_is_accepted_that_the_standard_has_not() -> None:
    conditions = _packaged()["$defs"]["SchemaBaseProperty"]["allOf"]
    known: set[str] = set()
    for one in conditions:
        options = one.get("then", {}).get("properties", {}).get("logicalTypeOptions", {})
        known |= set(options.get("properties", ()))

    assert set() == {option for options in TYPE_OPTIONS.values() for option in options} - known


def test_every_normaliser_and_option_is_offered_to_editors() -> None:
    conditions = schema()["$defs"]["column"]["properties"]["customProperties"]["items"]["allOf"]
    normalise = next(
        one for one in conditions if one["if"].get("properties", {}).get("property") == {"const": "normalise"}
    )
    offered = normalise["then"]["properties"]["value"]["items"]["else"]["properties"]

    assert {name: set(options) for name, options in STEPS.items()} == {
        name: set(one["properties"]) for name, one in offered.items()
    }


@pytest.mark.parametrize("path", CONTRACTS, ids=lambda path: path.name)
def test_our_own_contracts_have_neither_faults_nor_warnings(path: Path) -> None:
    contracts, faults, warnings = lint(path.read_text())

    assert (1, (), ()) == (len(contracts), faults, warnings)


@pytest.mark.parametrize("path", CONTRACTS, ids=lambda path: path.name)
@pytest.mark.skipif(not STANDARD.is_file(), reason="the standard's schema (../shared/standards/odcs) is not here")
def test_our_own_contracts_are_contracts_to_others(path: Path) -> None:
    validator = Draft201909Validator(orjson.loads(STANDARD.read_bytes()))

    assert [] == [error.message for error in validator.iter_errors(yaml.safe_load(path.read_text()))]


def test_every_property_of_ours_is_documented() -> None:
    told = (ROOT / "docs/contracts.md").read_text()
    ours = {
        *extensions.COLUMN,
        *extensions.DATASET,
        *extensions.CHECK,
        *extensions.OPERATORS,
        *METRICS,
        *STRING_FORMATS,
    }
    ours |= {option for options in TYPE_OPTIONS.values() for option in options}
    ours |= set(extensions.DATASET["format"]["properties"]) | set(extensions.DATASET["drift"]["properties"])

    assert [] == sorted(name for name in ours if name not in told)
