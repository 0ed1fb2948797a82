"""`pipeline-processing demo`: a whole run on a stack of its own, told step by step, each claim checked."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shlex
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from etl_core.clock import SystemClock
from etl_core.errors import ConfigError
from pipeline_local import postgres, proof, rosters, sample
from pipeline_local.commands import CommandFailed, Commands, inherited, shown
from pipeline_local.narration import Narrator
from pipeline_local.proof import Untrue, check
from pipeline_local.resources import BRONZE_BUCKET, SILVER_BUCKET
from pipeline_local.stack import LOCK, Stack
from pipeline_processing.arguments import Parser
from pipeline_processing.cli.exits import DONE, FAILED, PARTLY, guarded

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import FrameType

    from pipeline_processing.model import Json

RUN_ID: Final = "demo"
SILVER_RUN_ID: Final = "demo-silver"
PACK: Final = 20
_PACKS: Final = ("--pack-max-items", str(PACK))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; 0 only if everything came as it was told, 1 if not, 130 when interrupted."""
    options = _parser().parse_args(argv)
    return guarded(lambda: _tell(options))


def _tell(options: argparse.Namespace) -> int:
    narrator = Narrator(SystemClock())
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        with _folder(options.data_dir, keeps=options.keep) as folder:
            demo = Demo(folder, narrator, workers=options.workers, keeps=options.keep)
            try:
                demo.run()
            except (Untrue, CommandFailed) as failure:
                narrator.note()
                print(f"error: {failure}", file=sys.stderr)
                return FAILED
            finally:
                demo.end()
    finally:
        signal.signal(signal.SIGTERM, before)
    return DONE


class Demo:
    """The story; each step checks what it says."""

    def __init__(self, folder: Path, narrator: Narrator, *, workers: int, keeps: bool) -> None:
        self._folder, self._workers, self._keeps = folder, workers, keeps
        self._narrator = narrator
        # Ports of its own: the usual ones are those of `local up`.
        self._stack = Stack(folder, is_durable=keeps, has_usual_ports=False)
        self._environment: dict[str, str] = {}
        self._commands: Commands | None = None
        self._expected = proof.expectations(PACK)

    def run(self) -> None:
        """Tell the whole story; Untrue or CommandFailed at the first step that does not come as told."""
        self._start_the_stack()
        self._make_sample_data()
        self._start_workers()
        self._run_the_fleet()
        self._read_the_report()
        fingerprint = self._list_dead_letters()
        self._show_dead_letter(fingerprint)
        self._mend_the_row()
        self._redrive(fingerprint)
        self._gather_again()
        found = self._compare()
        contract = self._send_rosters()
        self._refine(contract)
        self._look_into_quarantine()
        self._refine_again(contract)
        self._stop_workers()
        self._conclude(found)

    def end(self) -> None:
        """Stop everything; remove all data unless it is to be kept. Holds a second Ctrl-C off until that is done."""
        with _uninterrupted():
            if self._commands is not None:
                with contextlib.suppress(CommandFailed):
                    self._commands.stop()
            if not self._keeps:
                self._stack.reset()

    @property
    def _cli(self) -> Commands:
        if self._commands is None:
            self._stack.notes.mkdir(exist_ok=True)
            self._commands = Commands(self._environment, self._stack.notes)
        return self._commands

    def _start_the_stack(self) -> None:
        up, env = (shown(["local", what, "--data-dir", str(self._folder)]) for what in ("up", "env"))
        with self._narrator.step("A local S3, SQS and Postgres", up, f'eval "$({env})"') as step:
            # The stack reads settings too, to make its queues: not those of some deployment.
            _forget_deployment()
            self._environment = self._stack.up()
            ports = [f"{service.name} at 127.0.0.1:{service.port}" for service in self._stack.status()]
            step.found = ", ".join(ports)

    def _make_sample_data(self) -> None:
        with self._narrator.step("Sample data") as step:
            sent = sample.put_files(self._environment)
            asyncio.run(sample.fill_database(self._environment["PIPELINE_DATABASE_URL"]))
            step.found = (
                f"{len(sample.AGENCIES)} agencies, {sent:,} files with odd names and one that never arrived,"
                f" {sample.ROWS:,} employment rows, one dated {sample.POISON_DATE!r}"
            )

    def _start_workers(self) -> None:
        command = ["worker", "--lane", "live"]
        with self._narrator.step(f"Worker processes: {self._workers}", *[f"{shown(command)} &"] * self._workers):
            for number in range(1, self._workers + 1):
                self._cli.start(f"worker-{number}", command)

    def _run_the_fleet(self) -> None:
        command = ["controller", "run", "get_s3_files", "--run-id", RUN_ID, "--", "--all-agencies", *_PACKS]
        with self._narrator.step("The run: plan, scatter, work, gather", shown(command)) as step:
            self._cli.run("run", command, expected=PARTLY)
            report = self._report()
            total = report["total"]
            check("planned items", self._expected.items, total["planned"]["items"])
            check("planned inputs", self._expected.inputs, total["planned"]["inputs"])
            check("done items", self._expected.items - 1, total["done"]["items"] + total["skipped"]["items"])
            check("dead items", 1, total["dead"]["items"])
            check("pending items", 0, total["pending"]["items"])
            check("published", expected=False, found=report["is_published"])
            step.found = (
                f"{total['planned']['items']:,} items ({total['planned']['inputs']:,} inputs), one is dead: exit code"
                f" {PARTLY}, nothing published"
            )

    def _read_the_report(self) -> None:
        command = ["controller", "status", "--run-id", RUN_ID]
        with self._narrator.step("Its report", shown(command)) as step:
            self._cli.run("status", command, expected=PARTLY)
            report = self._report()
            check("outcomes", {"copied": self._expected.files, "missing": 1}, _attachments(report))
            check("failures", 1, len(report["failures"]))
            step.found = "1 item dead, 1 file missing, everything else done"

    def _list_dead_letters(self) -> str:
        command = ["dlq", "list"]
        with self._narrator.step("The dead-letter queue", shown(command)) as step:
            found = json.loads(self._cli.run("dlq-list", [*command, "--json"]).stdout)
            check("dead letters", 1, found["read"])
            group = found["groups"][0]
            check("dead letter's agency", [sample.POISON_AGENCY], group["agencies"])
            check("its cause names SQLSTATE 22007", expected=True, found="22007" in group["message"])
            step.found = f"1 letter of agency {sample.POISON_AGENCY}, {group['error']}: {group['message']}"
        fingerprint: str = group["fingerprint"]
        return fingerprint

    def _show_dead_letter(self, fingerprint: str) -> None:
        command = ["dlq", "show", fingerprint]
        with self._narrator.step("Why it is dead", shown(command)) as step:
            found = json.loads(self._cli.run("dlq-show", [*command, "--json"]).stdout)
            letter = found["letters"][0]
            check("dead letter's run", RUN_ID, letter["run_id"])
            check("dead letter's dossier", expected=True, found=letter["dossier"] is not None)
            step.found = (
                f"{letter['processor']}, {letter['attempts']} attempt, worker {letter['worker']},"
                f" version {letter['code_version']}, kept for {letter['hours_left'] / 24:.0f} days"
            )

    def _mend_the_row(self) -> None:
        statement = f"update employment_history set start_date = '{sample.MENDED_DATE}' where id = {sample.POISON_ROW}"  # noqa: S608 - shown, not run
        with self._narrator.step("The fix", f'{_psql()} "$PIPELINE_DATABASE_URL" -c "{statement}"') as step:
            changed = asyncio.run(sample.mend_row(self._environment["PIPELINE_DATABASE_URL"]))
            check("rows changed", "UPDATE 1", changed)
            step.found = "the row has a date now"

    def _redrive(self, fingerprint: str) -> None:
        command = ["dlq", "redrive", "--fingerprint", fingerprint, "--yes"]
        with self._narrator.step("Redrive", shown(command)) as step:
            tally = json.loads(self._cli.run("dlq-redrive", [*command, "--json"]).stdout)
            check("letters redriven", 1, tally["redriven"])
            step.found = "1 item back in its queue, its attempts counted anew"

    def _gather_again(self) -> None:
        command = ["controller", "gather", "--run-id", RUN_ID, "--tolerate-failures", "1"]
        with self._narrator.step("Gathered again, the missing file tolerated", shown(command)) as step:
            self._cli.run("gather", command, expected=DONE)
            report = self._report()
            check("dead items", 0, report["total"]["dead"]["items"])
            check("pending items", 0, report["total"]["pending"]["items"])
            check("success", expected=True, found=report["is_success"])
            check("tolerated", expected=True, found=bool(report["because"]))
            step.found = "done and published; the report still counts the missing file, the manifest names it"

    def _compare(self) -> proof.Found:
        with self._narrator.step("Proof") as step:
            found = proof.compare(self._environment, self._expected, RUN_ID)
            letters = json.loads(self._cli.run("dlq-list", ["dlq", "list", "--json"]).stdout)["read"]
            check("dead letters", 0, letters)
            step.found = (
                f"{found.files:,} files byte for byte, {found.rows:,} CSV rows, {found.manifest_rows:,} manifest rows"
                f" ({sample.MISSING_KEY!r} as missing), {found.markers:,} markers for {self._expected.items:,} items,"
                " no dead letter"
            )
        return found

    def _send_rosters(self) -> Path:
        with self._narrator.step("Bronze: rosters as three agencies write them") as step:
            sent = rosters.put_rosters(self._environment)
            step.found = (
                f"{sent} files, with US dates, with semicolons and month names, gzipped with torn lines;"
                f" {rosters.EXPECTED.rows_in:,} rows"
            )
        return rosters.contract(self._stack.notes)

    def _refine(self, contract: Path) -> None:
        command = _silver_command(SILVER_RUN_ID, contract)
        with self._narrator.step("Silver: the same workers, a contract, one commit", shown(command)) as step:
            self._cli.run("silver", command)
            report = proof.read_report(self._environment, SILVER_RUN_ID)
            found, expected = report["published_counts"], rosters.EXPECTED
            check("rows in", expected.rows_in, found["rows_in"])
            check("rows out", expected.rows_out, found["rows_out"])
            check("rows quarantined", expected.quarantined, found["quarantined"])
            check("rows deduplicated", expected.deduplicated, found["deduplicated"])
            step.found = (
                f"{found['rows_in']:,} rows in = {found['rows_out']:,} in the table + {found['quarantined']:,} in"
                f" quarantine + {found['deduplicated']:,} sent twice"
            )

    def _look_into_quarantine(self) -> None:
        command = ["quarantine", "list", "--dataset", rosters.DATASET]
        with self._narrator.step("The quarantine", shown(command)) as step:
            said = self._cli.run("quarantine", [*command, "--json"]).stdout
            groups = [group for dataset in json.loads(said)["datasets"] for group in dataset["groups"]]
            rows = sum(group["rows"] for group in groups if group["rule"] == "hired.type")
            check("rows whose date is none", 5, rows)
            step.found = f"every rejected row with its rule, file and number; {rows} have a date that is none"

    def _refine_again(self, contract: Path) -> None:
        command = _silver_command(f"{SILVER_RUN_ID}-again", contract)
        with self._narrator.step("The same again", shown(command)) as step:
            self._cli.run("silver-again", command)
            report = proof.read_report(self._environment, f"{SILVER_RUN_ID}-again")
            check("outcomes", {"unchanged": 3}, report["outcomes"])
            step.found = "3 files are published in this version already: nothing was sent"

    def _stop_workers(self) -> None:
        jobs = " ".join(f"%{number}" for number in range(1, self._workers + 1))
        with self._narrator.step("The workers drain", f"kill -TERM {jobs}") as step:
            self._cli.stop()
            step.found = "exit code 0 each"

    def _conclude(self, found: proof.Found) -> None:
        self._narrator.table(proof.COLUMNS, proof.conservation(self._report()))
        where = "left up" if self._keeps else "gone now; --keep leaves them"
        self._narrator.note(f"\nwhere ({where})")
        for what, place in found.places:  # no table: it would break names in two
            self._narrator.note(f"{what:<10}{place}")
        tables = f"s3://{SILVER_BUCKET}/silver/{rosters.DATASET}"
        self._narrator.note(f"{'tables':<10}{tables}/ (Delta Lake; beside it __quarantine, __files, __profiles)")
        if not self._keeps:
            return
        page = self._stack.notes / "report.html"
        page.write_bytes(found.report_page)
        at = shlex.quote(str(self._folder))
        self._narrator.note(f"report:   {page}")
        self._narrator.note(f'use it:   eval "$(pipeline-processing local env --data-dir {at})"')
        self._narrator.note(f"stop it:  pipeline-processing local reset --data-dir {at} && rm -r {at}")

    def _report(self) -> Mapping[str, Json]:
        return proof.read_report(self._environment, RUN_ID)


def _attachments(report: Mapping[str, Json]) -> dict[str, int]:
    """Return the outcomes of the attachments alone; a repeat after a crash would have skipped what was copied."""
    outcomes = {name: count for name, count in report["outcomes"].items() if name not in {"exported", "empty"}}
    outcomes["copied"] = outcomes.get("copied", 0) + outcomes.pop("skipped", 0)
    return outcomes


def _silver_command(run_id: str, contract: Path) -> list[str]:
    job = ["controller", "run", "bronze_to_silver", "--run-id", run_id, "--", "--contract", str(contract)]
    return [*job, "--all-agencies", "--source-bucket", BRONZE_BUCKET]


def _psql() -> str:
    """Return the psql to type: the stack's own, with its whole path, where the machine has none."""
    own = postgres.binaries_folder() / "bin" / "psql"
    return "psql" if shutil.which("psql") or not own.exists() else shlex.quote(str(own))


def _forget_deployment() -> None:
    kept = inherited(os.environ)
    for name in set(os.environ) - set(kept) - {"PIPELINE_TOOLS_DIR"}:
        del os.environ[name]


@contextlib.contextmanager
def _folder(named: Path | None, *, keeps: bool) -> Iterator[Path]:
    """Give an empty folder of the demo's own, and remove what is left of it afterwards."""
    if named is None:
        folder = Path(tempfile.mkdtemp(prefix="pipeline-demo-"))
        folder.chmod(0o755)  # Postgres runs as another account where we are root
    else:
        folder = named.absolute()
        if folder.exists() and (not folder.is_dir() or {LOCK} < {LOCK, *(entry.name for entry in folder.iterdir())}):
            raise ConfigError(
                f"{folder} is not empty",
                where="--data-dir",
                way_out="name another; `pipeline-processing local reset --data-dir` removes a kept demo",
            )
        folder.mkdir(parents=True, exist_ok=True)
    try:
        yield folder
    finally:
        if not keeps:
            with _uninterrupted():
                shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ignore SIGINT and SIGTERM: what is half removed would stay for ever."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="pipeline-processing demo",
        description="A whole run of get_s3_files on a local stack of its own: sample data, a fleet of workers, a poison"
        " item, its redrive after a fix, the proof that nothing was lost; then messy rosters into a checked table."
        " Takes about a minute.",
    )
    parser.add_argument("--keep", action="store_true", help="leave the stack up and its data there")
    parser.add_argument(
        "--data-dir", type=Path, metavar="DIR", help="an empty or new folder for all data (default: a temporary one)"
    )
    parser.add_argument("--workers", type=_count, default=2, metavar="N", help="worker processes (default: 2)")
    return parser


def _count(text: str) -> int:
    value = int(text) if text.isdecimal() else 0
    if not 1 <= value <= 16:  # noqa: PLR2004 - more only thrash one machine
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 16")
    return value


if __name__ == "__main__":
    sys.exit(main())
