"""Every key of the control bucket, built and parsed here and nowhere else."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

RUN_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
ITEM_ID: Final = re.compile(r"[0-9a-f]{32}")


def runs_prefix(prefix: str) -> str:
    """Return the prefix under which every run lives."""
    return f"{_folder(prefix)}runs/"


def probe(prefix: str, nonce: str) -> str:
    """Return the key of an object that a check writes and removes again; no run's key is like it."""
    return f"{_folder(prefix)}doctor/{nonce}"


def run_id_of(prefix: str, key: str) -> str | None:
    """Return the run that ``key`` belongs to, or None."""
    root = runs_prefix(prefix)
    run_id, slash, _ = key.removeprefix(root).partition("/")
    return run_id if key.startswith(root) and slash and RUN_ID.fullmatch(run_id) else None


@dataclass(frozen=True, slots=True)
class RunLayout:
    """The keys of one run.

    >>> RunLayout("pp", "r1").marker("0" * 32)
    'pp/runs/r1/done/00000000000000000000000000000000'
    """

    prefix: str
    run_id: str

    def __post_init__(self) -> None:
        """Refuse a run id that could not be told apart in a key."""
        if not RUN_ID.fullmatch(self.run_id):
            rule = "1 to 128 letters, digits, '.', '_' and '-', starting with a letter or digit"
            raise ValueError(f"run id {self.run_id!r}: {rule}")

    @property
    def root(self) -> str:
        """Return the run's folder."""
        return f"{runs_prefix(self.prefix)}{self.run_id}/"

    @property
    def past(self) -> str:
        """Return a ``start_after`` that skips all of the run's keys."""
        return f"{self.root}~"

    @property
    def run(self) -> str:
        """Return the key of the run's state."""
        return f"{self.root}run.json"

    @property
    def manifest(self) -> str:
        """Return the key whose existence means *planned*."""
        return f"{self.root}manifest.json"

    def manifest_part(self, number: int, digest: str) -> str:
        """Return a part's key.

        ``digest`` (hex SHA-256 of the part's bytes) keeps two planners from mixing their parts (law 3).
        """
        return f"{self.root}manifest/{number:05d}-{digest[:12]}.jsonl.zst"

    @property
    def done(self) -> str:
        """Return the markers' folder."""
        return f"{self.root}done/"

    def marker(self, item_id: str) -> str:
        """Return the key whose existence means *this item is done*."""
        return f"{self.done}{item_id}"

    def failures(self, item_id: str) -> str:
        """Return the folder of an item's failure records."""
        return f"{self.root}failed/{item_id}/"

    def failure(self, item_id: str, number: int) -> str:
        """Return the key of an item's ``number``-th failure record, counted from 1 over the run's whole life."""
        return f"{self.failures(item_id)}{number}.json"

    @property
    def dead(self) -> str:
        """Return the dossiers' folder."""
        return f"{self.root}dead/"

    def dossier(self, item_id: str) -> str:
        """Return the key that says why an item is dead."""
        return f"{self.dead}{item_id}.json"

    def report(self, extension: str) -> str:
        """Return the key of the run's report, ``json`` or ``html``."""
        return f"{self.root}report.{extension}"

    @property
    def flags(self) -> str:
        """Return the prefix that the two flags share with nothing else."""
        return f"{self.root}_"

    @property
    def success(self) -> str:
        """Return the key of the flag that says: all of it."""
        return f"{self.root}_SUCCESS"

    @property
    def partial(self) -> str:
        """Return the key of the flag that says: look at the report."""
        return f"{self.root}_PARTIAL"

    def item_of(self, key: str) -> str | None:
        """Return the item that a marker, dossier or failure record is about, or None for any other key."""
        for folder in (self.done, self.dead, f"{self.root}failed/"):
            if key.startswith(folder):
                name = key[len(folder) :].partition("/")[0].removesuffix(".json")
                return name if ITEM_ID.fullmatch(name) else None
        return None


def _folder(prefix: str) -> str:
    return f"{prefix.strip('/')}/" if prefix.strip("/") else ""
