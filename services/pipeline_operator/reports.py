"""What the operator's commands print, as text or as JSON."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from pipeline_operator.dead_letters import DeadLetter, Groups, parse, shortfall
from pipeline_processing.cli.exits import DONE, FAILED, PARTLY
from pipeline_processing.cli.terminal import print_json, print_pairs, print_table
from pipeline_processing.dead_letters import Reading
from pipeline_processing.layout import ITEM_ID

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime, timedelta

    from etl_core.clock import Clock
    from etl_core.queue import Depth
    from pipeline_operator.monitor import Watch
    from pipeline_operator.redrive import Tally
    from pipeline_processing.evidence import Dossier, FailureRecord
    from pipeline_processing.model import Json
    from pipeline_processing.records import Records
    from pipeline_processing.service_handler import Lane

_FINGERPRINTS_SHOWN: Final = 5


async def list_letters(lane: Lane, clock: Clock, *, limit: int, as_json: bool) -> int:
    """Print the lane's dead letters by fingerprint; return PARTLY when the queue counts letters and kept them back."""
    dlq = lane.dead_letters
    depth, retention = await dlq.depth(), (await dlq.policy()).retention
    groups = Groups()
    async with Reading(dlq, clock) as reading:
        async for batch in reading.batches():
            for delivery in batch:
                groups.add(parse(delivery))
            if reading.count >= limit:
                break
    rows = [_group_fields(groups_row, retention, clock.now()) for groups_row in groups.by_size()]
    note = _incomplete(reading.count, depth, limit)
    if as_json:
        print_json({"queue": dlq.name, "lane": lane.name, "read": reading.count, "note": note or None, "groups": rows})
    elif not reading.count and not note:
        print(f"{dlq.name}: no dead letters")
    else:
        print(f"{dlq.name}: {reading.count:,} dead {'letter' if reading.count == 1 else 'letters'}\n")
        columns = ("count", "fingerprint", "error", "reason", "message", "runs", "agencies", "oldest", "hours left")
        print_table(columns, [[_cell(row[column.replace(" ", "_")]) for column in columns] for row in rows])
    if note:
        print(f"note: {note}", file=sys.stderr)
    return PARTLY if note and (reading.gave_up or not reading.count) else DONE


async def show_letters(
    target: str, lane: Lane, records: Records, clock: Clock, *, run_id: str | None, examples: int, as_json: bool
) -> int:
    """Print what is known of the letters with this fingerprint or item id; FAILED when nothing is."""
    found: list[DeadLetter] = []
    async with Reading(lane.dead_letters, clock) as reading:
        async for batch in reading.batches():
            found += [letter for letter in map(parse, batch) if _is_about(letter, target)]
            if len(found) >= examples:
                break
    retention = (await lane.dead_letters.policy()).retention
    documents = [await _letter_fields(letter, records, retention, clock.now()) for letter in found[:examples]]
    if not documents and run_id and ITEM_ID.fullmatch(target):
        evidence = await _evidence_fields(records, run_id, target)
        if evidence["dossier"] or evidence["failures"]:
            documents = [{"run_id": run_id, "item_id": target, "letter": "none in the queue", **evidence}]
    if as_json:
        print_json({"target": target, "lane": lane.name, "letters": documents})
    else:
        for number, document in enumerate(documents):
            if number:
                print()
            _print_document(document)
    if not documents:
        way_out = f"`pipeline-processing dlq list --lane {lane.name}` lists what there is"
        way_out += "" if run_id else "; with --run-id an item is looked up in its run too"
        print(f"error: no dead letter in {lane.dead_letters.name} is about {target} ({way_out})", file=sys.stderr)
        return FAILED
    return DONE


def print_lanes(watches: Sequence[Watch], clock: Clock, *, as_json: bool) -> int:
    """Print what a look at the lanes found; FAILED where none could be read, PARTLY where some could not."""
    now = clock.now()
    rows = [_lane_fields(watch, now) for watch in watches]
    if as_json:
        print_json({"lanes": rows})
    else:
        columns = ("lane", "visible", "in flight", "delayed", "dead letters", "unread", "oldest", "hours left")
        read = [row for row in rows if row["error"] is None]
        print_table(columns, [[_known(row[column.replace(" ", "_")]) for column in columns] for row in read])
    for watch in watches:
        if watch.error:
            print(f"error: {watch.name}: {watch.error}", file=sys.stderr)
    failed = sum(watch.error is not None for watch in watches)
    return (FAILED if failed == len(watches) else PARTLY) if failed else DONE


def print_tally(tally: Tally, lane: Lane, *, dry_run: bool, as_json: bool) -> None:
    """Print what a redrive did, or would do."""
    if tally.unread:
        print(f"note: {tally.unread}", file=sys.stderr)
    if as_json:
        fields = asdict(tally)
        print_json({**fields, "runs": sorted(tally.runs), "lane": lane.name, "dry_run": dry_run})
        return
    if sys.stderr.isatty() and not dry_run:
        print(file=sys.stderr)
    would = "would be " if dry_run else ""
    lines = {
        f"{would}redriven": tally.redriven,
        f"{would}dropped, their items are done": tally.already_done or None,
        "left: malformed, no worker can read them (--force sends them)": tally.malformed or None,
        "left: the queue did not take them": tally.failed or None,
        "still in the dead-letter queue; the next redrive drops them": tally.left_over or None,
        "not chosen": tally.not_matching or None,
    }
    print(f"{lane.dead_letters.name} → {lane.queue.name}")
    print_pairs(lines)
    for fault in tally.faults:
        print(f"error: {fault}", file=sys.stderr)
    if tally.redriven and not dry_run:
        for run_id in sorted(tally.runs):
            print(f"then: pipeline-processing controller gather --run-id {run_id}")


def print_no_match(tally: Tally, lane: Lane) -> None:
    """Say that no letter was meant, and which fingerprints there are."""
    names = sorted(tally.others, key=lambda name: (-tally.others[name], name))
    shown = ", ".join(f"{name} ({tally.others[name]:,})" for name in names[:_FINGERPRINTS_SHOWN])
    more = f" and {len(names) - _FINGERPRINTS_SHOWN:,} more" if len(names) > _FINGERPRINTS_SHOWN else ""
    there_is = f"its fingerprints are {shown}{more}" if names else "it is empty"
    way_out = f"`pipeline-processing dlq list --lane {lane.name}` lists what there is"
    print(f"error: no dead letter in {lane.dead_letters.name} matches: {there_is} ({way_out})", file=sys.stderr)


def _lane_fields(watch: Watch, now: datetime) -> dict[str, Json]:
    numbers = watch.numbers
    if numbers is None:
        return {"lane": watch.name, "error": watch.error}
    age, left = numbers.oldest_age(now), numbers.until_dropped(now)
    return {
        "lane": watch.name,
        "error": watch.error,
        "read_at": numbers.read_at.isoformat(),
        "visible": numbers.depth.visible,
        "in_flight": numbers.depth.in_flight,
        "delayed": numbers.depth.delayed,
        "dead_letters": numbers.dead_letters,
        "unread": numbers.unread,
        "oldest": _age(age) if age is not None else None,
        "oldest_age_seconds": round(age.total_seconds(), 3) if age is not None else None,
        "hours_left": round(left.total_seconds() / 3600, 1) if left is not None else None,
        "seconds_to_drop": round(left.total_seconds(), 3) if left is not None else None,
    }


def _known(value: Json) -> Json:
    return "-" if value is None else value


def _incomplete(read: int, depth: Depth, limit: int) -> str:
    counted = depth.visible + depth.in_flight
    if read >= limit and counted > read:
        return f"read {read:,} of about {counted:,}; --limit reads more"
    return shortfall(read, counted, depth)


def _is_about(letter: DeadLetter, target: str) -> bool:
    return letter.cause.fingerprint == target or (letter.message is not None and letter.message.item_id == target)


def _group_fields(group: Json, retention: timedelta, now: datetime) -> dict[str, Json]:
    return {
        "count": group.count,
        "fingerprint": group.cause.fingerprint,
        "error": group.cause.error_class or "-",
        "reason": group.cause.reason,
        "message": group.cause.message,
        "runs": sorted(group.runs),
        "agencies": sorted(group.agencies),
        "processors": sorted(group.processors),
        "oldest": _age(now - group.oldest),
        "oldest_sent_at": group.oldest.isoformat(),
        "hours_left": _hours_left(group.oldest + retention, now),
    }


async def _letter_fields(letter: DeadLetter, records: Records, retention: timedelta, now: datetime) -> dict[str, Json]:
    message, cause, delivery = letter.message, letter.cause, letter.delivery
    fields: dict[str, Json] = {
        "item_id": message.item_id if message else None,
        "run_id": message.run_id if message else None,
        "agency": message.agency_id if message else None,
        "processor": message.processor if message else None,
        "malformed": letter.malformed or None,
        "fingerprint": cause.fingerprint,
        "reason": cause.reason,
        "error": cause.error_class or None,
        "message": cause.message,
        "attempts": cause.attempts,
        "worker": cause.worker,
        "code_version": cause.code_version,
        "died_at": cause.died_at,
        "message_id": delivery.message_id,
        "body_bytes": len(delivery.body.encode()),
        "sent_at": delivery.sent_at.isoformat(),
        "hours_left": _hours_left(letter.expires_at(retention), now),
    }
    return {**fields, **(await _evidence_fields(records, message.run_id, message.item_id))} if message else fields


async def _evidence_fields(records: Records, run_id: str, item_id: str) -> dict[str, Json]:
    evidence = records.evidence(run_id)
    dossier = await evidence.read_dossier(item_id)
    failures = await evidence.records(item_id)
    return {
        "is_done": await records.markers(run_id).exists(item_id),
        "dossier": _evidence(dossier) if dossier else None,
        "failures": [_evidence(record) for record in failures],
    }


def _evidence(evidence: Dossier | FailureRecord) -> dict[str, Json]:
    fields = asdict(evidence)
    return {**fields, "failure": {**fields["failure"], "trace": list(evidence.failure.trace)}}


def _print_document(document: Mapping[str, Json]) -> None:
    failures, dossier = document.get("failures", []), document.get("dossier")
    plain = {name: value for name, value in document.items() if name not in {"failures", "dossier", "is_done"}}
    if "is_done" in document:
        plain["state"] = (
            "done: a redrive drops this letter" if document["is_done"] else "dead" if dossier else "pending"
        )
    if dossier:
        plain["trace"] = "\n".join(dossier["failure"]["trace"]) or None
    print_pairs({name.replace("_", " "): value for name, value in plain.items()})
    if failures:
        print("\nattempts")
        columns = ("#", "failed at", "worker", "error", "message")
        rows = [
            (number, f["failed_at"], f["worker"], f["failure"]["error_class"], f["failure"]["message"])
            for number, f in enumerate(failures, start=1)
        ]
        print_table(columns, rows)


def _cell(value: Json) -> Json:
    if isinstance(value, list):
        shown = ", ".join(value[:3])
        return f"{shown} and {len(value) - 3:,} more" if len(value) > 3 else shown or "-"  # noqa: PLR2004 - three fit a column
    return value


def _age(age: timedelta) -> str:
    hours = age.total_seconds() / 3600
    return f"{hours / 24:.1f} d" if hours >= 48 else f"{hours:.1f} h"  # noqa: PLR2004 - two days read better as hours


def _hours_left(expires_at: datetime, now: datetime) -> float:
    return round((expires_at - now).total_seconds() / 3600, 1)
