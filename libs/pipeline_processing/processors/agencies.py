"""Which agencies a run is about. Pure."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Final

from etl_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


IN_A_BUCKET: Final = "nothing was read: --source-bucket and --source-prefix say where agencies' folders are"
"""The way out where agencies are a bucket's folders, and there is none."""


def choose(
    wanted: Sequence[str], known: Mapping[str, str], *, where: str, way_out: str = "nothing was read: is it this one?"
) -> list[str]:
    """Return the ``wanted`` agencies, or all that are ``known`` (id → name) where none is named, sorted.

    ConfigError for those that are not known, each with what may have been meant, and, with ``way_out``, where there is
    none at all.
    """
    if not known:
        raise ConfigError("there is no agency", where=where, way_out=way_out)
    unknown = [f"{agency_id!r} is unknown{_meant(agency_id, known)}" for agency_id in wanted if agency_id not in known]
    if unknown:
        raise ConfigError("; ".join(unknown), where="--agency-id", way_out=f"{len(known)} agencies are in {where}")
    return sorted(wanted or known)


def _meant(agency_id: str, known: Mapping[str, str]) -> str:
    spellings = {spelling.casefold(): key for key, name in known.items() for spelling in (name, key)}
    near = difflib.get_close_matches(agency_id.casefold(), spellings, n=1, cutoff=0.5)
    if not near:
        return ""
    meant = spellings[near[0]]
    return f", did you mean {meant}{f' ({known[meant]})' if known[meant] else ''}?"
