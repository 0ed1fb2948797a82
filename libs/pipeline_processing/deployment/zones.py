"""Whether a time zone is one; reads the machine's time zone database."""

from __future__ import annotations

import difflib
from zoneinfo import available_timezones

from etl_core.errors import ConfigError


def check_zone(name: str, *, where: str) -> bool:
    """Raise ConfigError for what is no time zone; False where this machine has no database to tell by."""
    zones = available_timezones()
    if name in zones or not zones:
        return bool(zones)
    near = difflib.get_close_matches(name, zones, n=1) or [zone for zone in zones if zone.endswith(f"/{name}")]
    raise ConfigError(
        f"there is no time zone {name!r}",
        where=where,
        way_out=f"did you mean {near[0]}?" if near else "name one of the IANA database, as in America/Chicago",
    )
