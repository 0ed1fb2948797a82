"""What a job gives to the controller and the workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from pipeline_processing.model import Gathered, Item, Json, Processor, Published
    from pipeline_processing.service_handler import ServiceHandler


class Job(Protocol):
    """One job: from arguments to items, from items to results, from results to one publish.

    A job module offers it by ``def definition() -> Job``, beside its ``JOB = (entrypoint, description)``.
    """

    @property
    def name(self) -> str:
        """Return the module's name."""
        ...

    def parse(self, argv: Sequence[str]) -> Mapping[str, Json]:
        """Return the run's spec: every parameter by name, as JSON; equal arguments give equal specs.

        Exits as argparse does; ConfigError for a wrong set.
        """
        ...

    def plan(self, run_id: str, spec: Mapping[str, Json], services: ServiceHandler) -> AsyncIterator[Item]:
        """Yield the run's items in any order, in bounded memory. A payload that names the run is that run's alone.

        Raises ConfigError where the spec names what does not exist.
        """
        ...

    def processors(self, services: ServiceHandler) -> Sequence[Processor]:
        """Return the processors of this job's items; cheap, makes no connection."""
        ...

    async def publish(
        self, run_id: str, spec: Mapping[str, Json], results: AsyncIterator[Gathered], services: ServiceHandler
    ) -> Published:
        """Make the run's outputs visible in one atomic step, once however often it is called.

        ``results`` has every manifest item, sorted by id.
        """
        ...
