"""`ablate status outputs/<study>`: how far the runs of a study are, read from their records, whatever launched them."""

import argparse
import platform
import statistics
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ablate.messages import aligned, duration, say, say_json
from ablate.records.epochs import TIMES, split_statistic
from ablate.records.interruption import is_there
from ablate.records.record import Start, Status, now
from ablate.records.run_directory import RunDirectory
from ablate.records.store import is_address, mirror
from ablate.records.study_directory import StudyDirectory
from ablate.report.study.metrics import metric

_PATIENCE = 5  # a run is stuck if no epoch has ended for the time of so many
_LEAST_PATIENCE = 120.0  # seconds
_FIRST_EPOCH = 1800.0  # seconds: the patience before the first epoch, whose time is not known
_CLEAR = "\x1b[H\x1b[2J"


@dataclass(frozen=True)
class RunStatus:
    """How far a run is."""

    run: str  # its folder below the study's
    status: str  # as in its record; `stuck` if it should be running, but has no process or has written nothing for long
    done: int  # complete epochs
    epochs: int  # of the whole run
    seconds: float | None  # of an epoch, the median of the last five; None before the first
    metric: str  # the study's
    value: float | None  # its, after the last epoch
    shown: str  # that, in its unit
    place: str  # the host that it runs on, or ran on last
    why: str = ""  # it is stuck, failed or unreadable

    @property
    def left(self) -> float | None:
        """Seconds until its last epoch at its present speed; None if that is not known."""
        return None if self.seconds is None or self.status != "running" else self.seconds * (self.epochs - self.done)


@dataclass(frozen=True)
class Statuses:
    """What `ablate status --json` prints."""

    at: str  # when, in ISO 8601 and UTC
    counts: Mapping[str, int]  # of runs, by status
    runs: Sequence[RunStatus]


def look(study: Path, at: float | None = None) -> list[RunStatus]:
    """Returns the state of every run in a study's folder, sorted by folder, as of `at` in seconds since 1970."""
    runs = StudyDirectory(study).runs()
    if not runs:
        raise ValueError(f"{study}: there are no runs in it; give the folder of a study, such as outputs/lenet_cifar10")
    return [_look(run, study, time.time() if at is None else at) for run in runs]


def _look(directory: RunDirectory, study: Path, now: float) -> RunStatus:
    name = directory.folder.relative_to(study).as_posix()
    try:
        record = directory.read_record()
        if record is None:
            raise ValueError("run.json is gone")
        rows = directory.read_epochs(record.planned_epochs or None)  # a task may not have said
        seconds = statistics.median(sum(row[part] for part in TIMES) for row in rows[-5:]) if rows else None
    except (ValueError, KeyError) as error:
        return RunStatus(name, "unreadable", 0, 0, None, "", None, "–", "", str(error))
    status, why, start = record.status.value, record.cause, record.newest_start
    main = split_statistic(record.study_options.get("metric", "test_accuracy"))[0]
    kind = metric(main, record.metrics)
    value = rows[-1].get(main) if rows else None
    if record.status is Status.RUNNING:
        why = _stuck(directory, start, seconds, record.cohort or 1, now)
        status = "stuck" if why else status
    return RunStatus(
        name, status, len(rows), record.epochs, seconds, main, value, kind.show(value), start.host or "", why
    )


def _stuck(directory: RunDirectory, start: Start, seconds: float | None, runs: int, now: float) -> str:
    """Returns why a run whose status is running seems not to run; empty if it may be running."""
    if start.host == platform.node() and start.pid is not None and not is_there(start.pid):
        return "its process is gone; the command of the sweep resumes it"
    files = [file for file in (directory.record_file, directory.epochs_file) if file.exists()]
    quiet = now - max(file.stat().st_mtime for file in files)
    # The seconds of a run in a cohort are its share of an epoch that its members train together.
    patience = _FIRST_EPOCH if seconds is None else max(_LEAST_PATIENCE, _PATIENCE * runs * seconds)
    return f"nothing new for {duration(quiet)}" if quiet > patience else ""


def table(runs: Sequence[RunStatus]) -> str:
    """Returns the runs as a table for people, with a line that sums them up."""
    named = ", ".join(dict.fromkeys(run.metric for run in runs if run.metric)).replace("_", " ")
    rows = [("run", "status", "epoch", "s an epoch", "left", named, "on", "")]
    for run in runs:
        seconds = "–" if run.seconds is None else f"{run.seconds:.1f} s"
        done = f"{run.done}/{run.epochs or '?'}"
        rows.append((run.run, run.status, done, seconds, duration(run.left), run.shown, run.place, run.why[:60]))
    counts = Counter(run.status for run in runs)
    summed = ", ".join(f"{number} {status}" for status, number in counts.most_common())
    return f"{aligned(rows)}\n\n{len(runs)} runs: {summed}"


def main(arguments: Sequence[str]) -> int:
    """Shows how far the runs of a study are, once or repeatedly."""
    parser = argparse.ArgumentParser(prog="ablate status", description="Shows how far the runs of a study are.")
    parser.add_argument("study", help="the study's folder or its address in a store: outputs/lenet_cifar10")
    parser.add_argument("--watch", type=float, nargs="?", const=5.0, metavar="SECONDS",
                        help="show it again every so many seconds (default: 5), until all runs have ended")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print it as JSON, for programs")
    options = parser.parse_args(arguments)
    while True:
        runs = look(mirror(options.study) if is_address(options.study) else Path(options.study))
        if options.watch is not None and sys.stdout.isatty() and not options.json:
            sys.stdout.write(_CLEAR)
        if options.json:
            say_json(Statuses(now(), Counter(run.status for run in runs), runs))
        else:
            say(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC\n\n{table(runs)}")
        if options.watch is None or all(run.status not in ("running", "stuck") for run in runs):
            return 0
        time.sleep(options.watch)
