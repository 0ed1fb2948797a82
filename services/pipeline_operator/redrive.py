"""Giving dead letters back to their lane.

The order is: send to the lane → remove the dossier → delete from the dead-letter queue. It keeps law 1 wherever it is
cut off:

- after the send: the item is queued *and* dead with its evidence. It is worked on, and done beats dead; a second
  redrive finds its marker and drops the letter, or sends it again and the first marker wins.
- after the dossier: the item is pending and queued; its letter is left over, and goes the same way.
- any other order has a moment at which no queue will bring the item back: deleted but not sent is a loss that reconcile
  would have to find; dossier removed but not sent is an item that a waiting controller waits for in vain.

One race is left: a worker may fail the item again, and bury it anew, before the old dossier is removed, which would
then be the new one. So the message is sent with a delay that outlasts the two steps. Should it not, the item's letter
is in the dead-letter queue without a dossier: the item counts as pending, and reconcile, which looks at markers and
dossiers and not at letters with an error, sends it again once the lane is quiet. That is a repeat, never a loss.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from etl_core.errors import Transient
from etl_core.queue import BATCH_LIMIT, Message
from pipeline_operator.dead_letters import parse, shortfall
from pipeline_processing.dead_letters import Reading
from pipeline_processing.messages import ERROR, RESUMED, rebase

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from etl_core.clock import Clock
    from pipeline_operator.dead_letters import DeadLetter
    from pipeline_processing.records import Records
    from pipeline_processing.service_handler import Lane

DELAY: Final = timedelta(seconds=5)
"""How long a redriven message is invisible: see the module's docstring."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which letters: all that are given must hold; ``everything`` stands for no condition."""

    fingerprint: str | None = None
    run_id: str | None = None
    agency: str | None = None
    processor: str | None = None
    item: str | None = None
    everything: bool = False

    def is_empty(self) -> bool:
        """Say whether nothing at all was chosen."""
        return not (self.everything or self.is_narrow())

    def is_narrow(self) -> bool:
        """Say whether there is a condition that a letter can fail to meet."""
        return any((self.fingerprint, self.run_id, self.agency, self.processor, self.item))

    def matches(self, letter: DeadLetter) -> bool:
        """Say whether ``letter`` is meant. A letter without a readable body has no run, agency, processor or item."""
        message = letter.message
        wanted = (self.run_id, self.agency, self.processor, self.item)
        given = (message.run_id, message.agency_id, message.processor, message.item_id) if message else (None,) * 4
        return self.fingerprint in {None, letter.cause.fingerprint} and all(
            want in {None, have} for want, have in zip(wanted, given, strict=True)
        )


@dataclass(slots=True)
class Tally:
    """What a redrive did, or with ``dry_run`` would do."""

    redriven: int = 0
    already_done: int = 0
    """Dropped: their items were done meanwhile."""
    malformed: int = 0
    """Left where they are: no worker can read them."""
    failed: int = 0
    """Left where they are: the queue did not take them."""
    left_over: int = 0
    """Redriven or done, but still in the dead-letter queue; the next redrive drops them."""
    not_matching: int = 0
    others: dict[str, int] = field(default_factory=dict)
    """Those that were not meant, by fingerprint."""
    unread: str = ""
    """Why letters that the queue counts may not have been looked at."""
    runs: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)
    """One line each, without repetitions."""

    @property
    def is_complete(self) -> bool:
        """Say whether everything that was meant was redriven or dropped."""
        return not (self.malformed or self.failed or self.left_over or self.faults or self.unread)

    @property
    def has_matches(self) -> bool:
        """Say whether any letter was meant, whatever came of it."""
        return bool(self.redriven or self.already_done or self.malformed or self.failed)

    def skip(self, letter: DeadLetter) -> None:
        """Count a letter that is not meant."""
        self.not_matching += 1
        self.others[letter.cause.fingerprint] = self.others.get(letter.cause.fingerprint, 0) + 1

    def fault(self, line: str) -> None:
        """Note a fault once."""
        if line not in self.faults:
            self.faults.append(line)


class Redrive:
    """Gives one lane's dead letters back to it. Safe to cut off anywhere and to run twice at once."""

    def __init__(
        self,
        lane: Lane,
        records: Records,
        clock: Clock,
        *,
        forced: bool = False,
        rate: float | None = None,
        on_progress: Callable[[Tally], None] = lambda _: None,
    ) -> None:
        """Change nothing yet. ``forced`` sends malformed letters too; ``rate`` is the most letters a second."""
        self._lane = lane
        self._records = records
        self._clock = clock
        self._forced = forced
        self._rate = rate
        self._on_progress = on_progress
        self.tally = Tally()

    async def run(self, selection: Selection, *, limit: int | None = None, dry_run: bool = False) -> Tally:
        """Redrive what ``selection`` means, at most ``limit`` letters. A failing service ends it early, as a fault."""
        before = await self._lane.dead_letters.depth()
        async with Reading(self._lane.dead_letters, self._clock) as reading:
            if await self._read(reading, selection, limit=limit, dry_run=dry_run):
                after = await self._lane.dead_letters.depth()
                # Either count may lag, and others may bury or redrive meanwhile: the smaller one is the safer claim.
                counted = min(before.visible + before.in_flight, after.visible + after.in_flight + reading.dropped)
                self.tally.unread = shortfall(reading.count, counted, before)
        return self.tally

    async def _read(self, reading: Reading, selection: Selection, *, limit: int | None, dry_run: bool) -> bool:
        """Take what is meant, batch by batch; say whether the pass ended by itself."""
        size = BATCH_LIMIT if self._rate is None else max(1, min(BATCH_LIMIT, int(self._rate)))
        taken = 0
        async for batch in reading.batches(size):
            started = self._clock.monotonic()
            chosen = []
            for letter in map(parse, batch):
                if selection.matches(letter):
                    chosen.append(letter)
                else:
                    self.tally.skip(letter)
            chosen = chosen if limit is None else chosen[: limit - taken]
            taken += len(chosen)
            try:
                await self._take(chosen, reading, dry_run=dry_run)
            except Transient as error:
                self.tally.fault(f"stopped: {error}")
                return False
            self._on_progress(self.tally)
            if taken == limit:
                return False
            if self._rate is not None and not dry_run:
                spent = timedelta(seconds=self._clock.monotonic() - started)
                await self._clock.sleep(timedelta(seconds=len(chosen) / self._rate) - spent)
        return True

    async def _take(self, letters: Sequence[DeadLetter], reading: Reading, *, dry_run: bool) -> None:
        readable = [letter for letter in letters if letter.message]
        unreadable = [letter for letter in letters if not letter.message]
        are_done = await asyncio.gather(*(self._is_done(letter) for letter in readable))
        done = [letter for letter, is_done in zip(readable, are_done, strict=True) if is_done]
        wanted = [letter for letter, is_done in zip(readable, are_done, strict=True) if not is_done]
        if self._forced:
            wanted += unreadable
        else:
            self.tally.malformed += len(unreadable)
        self.tally.runs |= {letter.message.run_id for letter in wanted if letter.message}
        if dry_run:
            self.tally.redriven += len(wanted)
            self.tally.already_done += len(done)
            return
        sent = await self._send(wanted)
        finished = [*sent, *done]
        await asyncio.gather(*(self._remove_dossier(letter) for letter in finished))
        left = await reading.drop(letter.delivery for letter in finished)
        self.tally.already_done += len(done)
        self.tally.left_over += len(left)

    async def _is_done(self, letter: DeadLetter) -> bool:
        assert letter.message  # noqa: S101 - the caller chose the letters that have one
        return await self._records.markers(letter.message.run_id).exists(letter.message.item_id)

    async def _send(self, letters: Sequence[DeadLetter]) -> list[DeadLetter]:
        if not letters:
            return []
        messages = await asyncio.gather(*(self._message(letter) for letter in letters))
        report = await self._lane.queue.send(messages)
        for failure in report.failed:
            self.tally.fault(f"queue {self._lane.queue.name}: {failure.code}: {failure.message}")
        self.tally.failed += len(report.failed)
        self.tally.redriven += len(report.succeeded)
        return [letters[index] for index in report.succeeded]

    async def _message(self, letter: DeadLetter) -> Message:
        """Return what the lane gets: the same item with its attempts counted from here, and no error."""
        delivery, body = letter.delivery, letter.delivery.body
        attributes = {name: value for name, value in delivery.attributes.items() if name != ERROR}
        if letter.message:
            evidence = self._records.evidence(letter.message.run_id)
            body = rebase(body, await evidence.count(letter.message.item_id))
            attributes[RESUMED] = "redrive"
        return Message(body, attributes, delivery.group, DELAY)

    async def _remove_dossier(self, letter: DeadLetter) -> None:
        if letter.message:
            await self._records.evidence(letter.message.run_id).delete_dossier(letter.message.item_id)
