"""The waivers that a run is planned with: what a person let through of a source holds for its later versions too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pipeline_processing.quarantine.book import read_decisions, rolled_back_in
from pipeline_processing.quarantine.decisions import active_waivers

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from pipeline_processing.processors.silver.item import Destination, Release
    from pipeline_processing.service_handler import ServiceHandler

DECISION: Final = "decision"
EXPIRES: Final = "expires_at"
"""Tags of a file of decisions, all of which have the same: so most files need not be read."""


def tags_of(release: Release) -> dict[str, str]:
    """Return the tags of a release's decisions."""
    return {DECISION: release.decision, EXPIRES: release.expires_at or ""}


async def waivers_of(
    destination: Destination, services: ServiceHandler, *, today: date
) -> Mapping[str, tuple[str, ...]]:
    """Return by source the rules that hold no row of it back today; nothing for sources without a waiver."""
    table = services.table(destination, "decisions")
    files = [
        file
        async for file in table.files()
        if file.tags.get(DECISION) == "waived" and file.tags.get(EXPIRES, "") >= today.isoformat()
    ]
    if not files:
        return {}
    rolled_back = rolled_back_in(await services.table(destination).snapshot())
    store = services.store(destination.bucket)
    decisions = [await read_decisions(store, table, file) for file in files]
    return active_waivers(decisions, today=today, rolled_back=rolled_back)
