"""The contract as it holds for rows that come back, and for rows that a waiver lets through. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from etl_core.errors import ConfigError
from pipeline_processing.contracts.model import ROW_KINDS, Drift, QuarantinePolicy
from pipeline_processing.quarantine.schema import READER

if TYPE_CHECKING:
    from collections.abc import Collection

    from pipeline_processing.contracts.model import Contract

DEDUPE: Final = "dedupe"
"""The rule of a released row whose dedupe key a published row of its file has: that row stays."""


def waive(contract: Contract, rules: Collection[str]) -> Contract:
    """Return the contract with ``rules`` as warnings; names that it does not have (any more) change nothing.

    The fingerprint stays: it says by which contract the rows were read.
    """
    if not rules:
        return contract
    checks = tuple(replace(check, action="warn") if check.name in rules else check for check in contract.checks)
    return replace(contract, checks=checks, dedupe=None if DEDUPE in rules else contract.dedupe)


def for_release(contract: Contract, waived: Collection[str] = ()) -> Contract:
    """Return the contract for a few rows of a file whose other rows are published.

    What looks at a file as a whole (metrics, queries, freshness, drift, the quarantined share) says nothing about some
    of its rows, so it is left out. A row that would fail the file fails alone.
    """
    checks = tuple(
        check if check.action == "warn" else replace(check, action="quarantine", threshold=None)
        for check in contract.checks
        if check.kind in ROW_KINDS
    )
    rows = replace(
        contract,
        checks=checks,
        quarantine=QuarantinePolicy(keep_raw=contract.quarantine.keep_raw),
        drift=Drift(psi=None, null_rate=None, rows=None, new_categories=False, lost_categories=False),
        unknown_columns="ignore",
    )
    return waive(rows, waived)


def row_rules(contract: Contract) -> frozenset[str]:
    """Return the names of the rules by which the contract may put a row into quarantine."""
    names = {check.name for check in contract.checks if check.kind in ROW_KINDS}
    return frozenset(names | ({DEDUPE} if contract.dedupe else set()))


def check_waivable(contract: Contract, rules: Collection[str]) -> None:
    """ConfigError where one of ``rules`` can not be waived: a record that is no row has no values to publish."""
    names = row_rules(contract)
    for rule in sorted(rules):
        if rule.partition(".")[0] == READER and rule not in names:
            raise ConfigError(
                f"{rule} can not be waived: such a record is no row",
                where="--rule",
                way_out="mend it (quarantine show --export, release --edited), or the contract's format",
            )
        if rule not in names:
            raise ConfigError(
                f"the contract has no row check called {rule!r}",
                where="--rule",
                way_out=f"it has {', '.join(sorted(names)) or 'none'}",
            )
