"""The contracts that runs were planned with, as they lie beside the tables: what they classify is not to be shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from etl_core.errors import ConfigError
from pipeline_processing.contracts.load import load
from pipeline_processing.transforms.headers import match

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from etl_core.objects import ObjectStore
    from pipeline_processing.contracts.model import Contract
    from pipeline_processing.processors.silver.item import Destination

log = structlog.get_logger(__name__)

FOLDER: Final = "_contracts"


async def frozen_contracts(store: ObjectStore, destination: Destination) -> Mapping[str, Contract]:
    """Return the dataset's contracts by fingerprint; one that this code can not load any more is left out."""
    found: dict[str, Contract] = {}
    async for info in store.list(destination.folder(FOLDER)):
        text = (await store.get(info.key)).body.decode(errors="replace")
        try:
            contract = load(text, dataset=destination.dataset)
        except ConfigError as error:
            log.warning("contract.unloadable", key=info.key, error=str(error))
            continue
        found[contract.fingerprint] = contract
    return found


def shown_in(contract: Contract | None, header: Sequence[str]) -> frozenset[str]:
    """Return the names of ``header`` whose values may be shown (law 13); none where the contract is not known.

    What no column reads may hold a classified column's values under another name: where there is one, it is hidden too.
    """
    if contract is None:
        return frozenset()
    if not has_classified(contract):
        return frozenset(header)
    names = match(contract.columns, header)
    read = {name: [c for c in contract.columns if names.get(c.name) == name] for name in header}
    return frozenset(name for name, columns in read.items() if columns and not any(c.is_classified for c in columns))


def has_classified(contract: Contract) -> bool:
    """Say whether a column of the contract is classified or protected."""
    return any(column.is_classified or column.protection is not None for column in contract.columns)
