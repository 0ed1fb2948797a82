"""The verdict on each example that the standard publishes; the fixtures' README says how they are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline_processing.contracts.faults import ContractError
from pipeline_processing.contracts.load import load_all

EXAMPLES = Path(__file__).parents[1] / "fixtures" / "odcs_examples"
NO_TABLE = "a contract describes at least one table"
NO_COLUMN = "a table has at least one column"
NOT_FLAT = "flatten it: one column a value"

LOADS = {
    "authoritative-definitions/authoritative-definitions": ["products"],
    "fundamentals/table-column-description": ["payments"],
    "pricing/basic-pricing": ["events"],
    "quality/column-completeness": ["Air"],
    "quality/column-validity": ["Air"],
    "schema/enum": ["orders"],
    "schema/kafka-schema": ["Placed"],
    "schema/table-column": ["tbl"],
    "schema/table-columns-with-partition": ["tbl"],
    "tags/tags": ["payments"],
    "team/team": ["events"],
}
REFUSED = {
    "all/full-example": [
        "schema.payments.relationships: relationships are not supported",
        "schema.payments.customProperties.natural-key: the custom property natural-key is not known",
        "schema.payments.properties.payee.relationships: relationships are not supported",
        "schema.payments.properties.paid_on.customProperties.masking: the custom property",
        "schema.payments.properties.country.quality.nullValues.customProperties.COMPARED: the custom property",
        "slaProperties.latency.element: there is no column 'tab1.paid_on'",
    ],
    "all/postgresql-adventureworks-contract": [
        "schema.department.properties.label.logicalType: columns of type object are not supported",
        "schema.department.properties.secret.tag: tag is not known here (did you mean tags?)",
    ],
    "custom-other-properties/custom-properties": [
        "schema.events.customProperties.retentionDays: the custom property retentionDays is not known",
        "schema.events.properties.payload.customProperties.maxBytes: the custom property maxBytes is not known",
    ],
    "data-types/all-data-types": [
        "schema.transactions.properties.latest.logicalType: columns of type array are not supported",
        "schema.transactions.properties.customer.logicalType: columns of type object are not supported",
    ],
    "fundamentals/strict-schema-test-invalid": [
        "schema.users.noSuchTableField: noSuchTableField is not known here",
        "schema.users.properties.id.noSuchColumnField: noSuchColumnField is not known here",
        "schema.users.properties.mail.quality.mail check.noSuchQualityField: noSuchQualityField is not known here",
        "schema.users.properties.mail.quality.mail check.rule: 'validValues' is not supported",
        "slaProperties.p.noSuchSlaField: noSuchSlaField is not known here",
        "authoritativeDefinitions.1: 'noSuchLinkField' was unexpected",
        "price: 'noSuchPriceField' was unexpected",
        "roles.1: 'noSuchRoleField' was unexpected",
        "servers.1: 'noSuchServerField' was unexpected",
        "support.1: 'noSuchSupportField' was unexpected",
        "team.1: 'noSuchTeamField' was unexpected",
    ],
    "fundamentals/variables": ["schema.orders.quality.1.query: there is no placeholder ${WHICH_TABLE}"],
    "quality/column-accuracy": [
        "schema.Air.properties.Value.quality.1.rule: 'between' is not supported",
        "schema.Air.properties.Value.quality.1.customProperties.min: the custom property min is not known",
        "schema.Air.properties.Value.quality.1.customProperties.max: the custom property max is not known",
    ],
    "quality/column-custom": [
        "schema.Air.properties.UniqueID.quality.1.type: checks of other engines are not supported",
        "schema.Air.properties.UniqueID.quality.2.type: checks of other engines are not supported",
    ],
    "references/relationships": [
        "schema.orders.relationships: relationships are not supported",
        "schema.orders.properties.customer.relationships: relationships are not supported",
    ],
    "roles/service-and-operational-roles": [NO_TABLE],
    "schema/all-schema-types": [NOT_FLAT, "schema.AnObject.properties.lines.items: arrays are not supported"],
    "schema/deprecated": ["schema.legacy_orders.properties.category.properties: nested columns are not supported"],
    "schema/kafka-schemaregistry": [NO_COLUMN],
    "schema/map": ["schema.products.properties.preferences.map: maps are not supported"],
    "schema/measures-and-dimensions": [
        "schema.turnover.properties.month.semanticType: a dimension is computed",
        "schema.turnover.properties.total.semanticType: a measure is computed",
    ],
    "server/azure-server": [NO_TABLE],
    "server/kafka-server": [NO_COLUMN],
    "sla/database-table-sla": [NO_TABLE],
    "stakeholders/basic-four-dpo": [NO_TABLE, "team.2: 'comment' was unexpected"],
    "support/support-channels": [NO_TABLE],
}


def test_every_example_has_a_verdict() -> None:
    found = {str(path.relative_to(EXAMPLES)).removesuffix(".odcs.yaml") for path in EXAMPLES.rglob("*.yaml")}

    assert {*LOADS, *REFUSED} == found


@pytest.mark.parametrize("name", LOADS)
def test_an_example_of_what_is_honoured_loads(name: str) -> None:
    contracts = load_all(EXAMPLES / f"{name}.odcs.yaml")

    assert LOADS[name] == [contract.dataset for contract in contracts]


@pytest.mark.parametrize("name", REFUSED)
def test_an_example_of_what_is_not_honoured_is_refused_by_name(name: str) -> None:
    with pytest.raises(ContractError) as refused:
        load_all(EXAMPLES / f"{name}.odcs.yaml")

    said = [str(fault) for fault in refused.value.faults]
    assert [] == [part for part in REFUSED[name] if not any(part in line for line in said)]
    assert [] == [line for line in said if not line.partition(":")[0]]
