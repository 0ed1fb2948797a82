"""What the compilation of one dataset shares: where it is, what it has found wrong, which columns there are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline_processing.contracts.faults import Faults, meant

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from open_data_contract_standard.model import CustomProperty

    from pipeline_processing.model import Json


@dataclass(frozen=True, slots=True)
class Scope:
    """One dataset's place in its document. ``declared`` are all its columns, those with faults too."""

    dataset: str
    declared: tuple[str, ...]
    faults: Faults = field(default_factory=Faults)

    @property
    def place(self) -> str:
        """Return the dataset's place."""
        return f"schema.{self.dataset}"

    def column_place(self, column: str) -> str:
        """Return a column's place."""
        return f"{self.place}.properties.{column}"

    def known(self, place: str, names: Iterable[str]) -> bool:
        """Say whether all are columns; add a fault for each that is not."""
        unknown = [name for name in names if name not in self.declared]
        for name in unknown:
            self.faults.add(place, f"there is no column {name!r}", meant(name, self.declared))
        return not unknown


def ours(properties: Iterable[CustomProperty] | None) -> Mapping[str, Json]:
    """Return our custom properties by name: those without a vendor's mark."""
    return {one.property: one.value for one in properties or () if one.property and one.vendor is None}
