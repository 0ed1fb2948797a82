"""A release tried out: what would pass, and which rules the other rows still fail. Nothing is written."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from pipeline_processing.processors.release import plan as release_plan
from pipeline_processing.processors.release.processor import ReleaseProcessor
from pipeline_processing.processors.silver.item import REFINED
from pipeline_processing.processors.silver.processor import SilverConfig

if TYPE_CHECKING:
    from pipeline_processing.model import Json
    from pipeline_processing.processors.release.plan import Wish
    from pipeline_processing.processors.silver.item import Destination
    from pipeline_processing.service_handler import ServiceHandler

RUN: Final = "dry-run"


@dataclass(slots=True)
class Trial:
    """``failing`` counts rows by rule, a row that fails two in both; ``unread`` says why no row of a file was tried."""

    rows: int = 0
    files: int = 0
    passing: int = 0
    failing: Counter[str] = field(default_factory=Counter)
    unread: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Json]:
        """Return all of it."""
        counts = {"rows": self.rows, "files": self.files, "passing": self.passing}
        return {**counts, "failing": dict(sorted(self.failing.items())), "unread": self.unread}


async def attempt(wish: Wish, destination: Destination, services: ServiceHandler) -> Trial:
    """Do in memory what the release's run would do; ConfigError where there is nothing to release."""
    memory, key = services.memory_store(), services.settings.token_key
    processor = ReleaseProcessor(
        SilverConfig(),
        lambda bucket: memory if bucket == memory.bucket else services.store(bucket),
        token_key=key.get_secret_value().encode() if key else None,
    )
    trial = Trial()
    async for item in release_plan.items(RUN, wish, destination, services, pins=memory):
        result = await processor.process(item)
        await memory.delete([output.key for output in result.outputs])
        trial.files += 1
        trial.rows += item.inputs
        trial.passing += item.inputs - result.failed
        for entry in result.details["files"]:
            trial.failing.update(entry.get("quarantined_by", {}))
            if entry["status"] != REFINED:
                trial.unread[entry["source"]] = entry["reason"] or entry["status"]
    return trial
