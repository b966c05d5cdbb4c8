"""`ablate verify RUN_DIR`: runs a finished run again, from its record or by its task, and compares.

A run directory may come from anybody: only code of packages that the user of this command allows is run.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from omegaconf import OmegaConf

from ablate.config.plain import read_config
from ablate.config.schema import Config
from ablate.messages import say
from ablate.records import provenance
from ablate.records.epochs import COSTS, TIMES, Epoch
from ablate.records.record import Provenance, RunRecord
from ablate.records.run_directory import RunDirectory
from ablate.records.store import is_address
from ablate.report.study.run_record import against_config, against_epochs

_NOT_COMPARED = ("images_per_second", *TIMES, *COSTS)


@dataclass(frozen=True)
class Verification:
    """The comparison of a run with its repetition, in words."""

    epochs: int  # how many were repeated
    difference: str | None  # the first one; None if the epochs agree
    weights: list[str] | None  # the layers whose final weights differ; None if only some epochs were repeated
    conditions: list[str]  # what has changed in code, packages, data and hardware
    contradictions: list[str]  # where the record says other than its configuration and its epochs

    @property
    def identical(self) -> bool:
        """Whether everything that was compared agrees, bit for bit."""
        return self.difference is None and not self.weights and not self.contradictions


def verify(folder: Path, epochs: int | None = None, allow: Sequence[str] = ()) -> Verification:
    """Runs a run again in a temporary folder, with its recorded configuration and threads, and compares.

    Args:
        allow: Packages whose code the recorded configuration may name, beside torch's and ablate's. What the record
            itself allows does not count.
    """
    from ablate.models.variant import layer_digests
    from ablate.runs.job import Job
    from ablate.runs.prepare import prepare
    from ablate.runs.progress import Progress
    from ablate.runs.recorder import Recorder
    from ablate.runs.run import train  # imports torch
    from ablate.training.hardware import configured, describe

    directory = RunDirectory(folder)
    record = directory.read_record()
    if record is None:
        raise ValueError(f"{folder}: there is no {directory.record_file.name}; give the folder of a run")
    if record.task is not None:
        raise ValueError(f"{folder}: is the run of a task; name its program, which is run again, with --task FILE")
    rows = directory.read_epochs(record.planned_epochs)
    if not rows:
        raise ValueError(f"{folder}: no epoch is complete, so there is nothing to compare with")
    until = len(rows) if epochs is None else epochs
    if not 1 <= until <= len(rows):
        raise ValueError(f"--epochs {until}: the run has {len(rows)} epochs; give 1 to {len(rows)}")
    try:
        cfg = recorded_configuration(record, allow)
        with configured(cfg.hardware), tempfile.TemporaryDirectory() as scratch:
            prepared = prepare(cfg)
            recorder = Recorder(Job(cfg, Path(scratch)), RunDirectory(Path(scratch)))
            recorder.describe(prepared)
            train(recorder, Progress(), until)
            now = describe(provenance.collect(), prepared.device)
            conditions = [f"trained with {record.cohort - 1} other runs, now alone"] if record.cohort else []
            data = prepared.data
            conditions += provenance.stale(record, data.digest, normalisation=data.normalisation)
            conditions += _hardware(record.provenance, now)
            weights = layer_digests(prepared.trainee.result)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"{folder}: run.json has no usable configuration: {error}") from error
    recorded = record.final_weights
    differing = None
    if until == len(rows) and recorded is not None:
        differing = [name for name in {**recorded, **weights} if recorded.get(name) != weights.get(name)]
    difference = next(_differences(rows, recorder.rows), None)
    contradictions = list(against_config(record))
    if record.is_complete and until == len(rows):
        contradictions += against_epochs(record, rows)
    return Verification(until, difference, differing, conditions, contradictions)


def recorded_configuration(record: RunRecord, allow: Sequence[str]) -> Config:
    """Returns the recorded configuration as data: what it allows itself, and what would be looked up, is left out."""
    plain = dict(record.config)
    if "${" in str(plain):
        raise ValueError("run.json: its configuration holds ${…}, which the record of a run never does")
    if is_address(str(plain.get("data"))):
        raise ValueError(f"run.json: data={plain['data']}: names an address; a record's data are files on this machine")
    # Nor does it go where the record says: to trackers and a store.
    try:
        cfg = read_config({**plain, "allow": list(allow), "logger": {}, "store": None})
    except ValueError as error:
        raise ValueError(f"run.json has no usable configuration: {error}") from error
    if cfg.hardware.threads is None:  # sums over threads are rounded in another order
        cfg.hardware.threads = record.provenance.threads
    return cfg


def verify_task(folder: Path, script: Path) -> Verification:
    """Runs a task's run again in a temporary folder, with what was typed for it, and compares.

    Args:
        script: The task's program, which is trusted: it is run.
    """
    directory = RunDirectory(folder)
    record, rows = directory.read_record(), directory.read_epochs()
    typed = folder / ".hydra" / "overrides.yaml"
    if record is None or record.task is None or not record.is_complete or not typed.is_file():
        raise ValueError(f"{folder}: is no complete run of a task, with what Hydra keeps of it in {typed.parent.name}")
    overrides = OmegaConf.to_container(OmegaConf.load(typed))
    assert isinstance(overrides, list)
    with tempfile.TemporaryDirectory() as scratch:
        command: list[str | Path] = [
            sys.executable,
            script,
            *map(str, overrides),
            f"hydra.run.dir={scratch}",
            "logger={}",
            "rerun=failed",
        ]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        again, repeated = RunDirectory(Path(scratch)).read_record(), RunDirectory(Path(scratch)).read_epochs()
    if again is None or not again.is_complete:
        raise ValueError(f"{script}: did not complete the run:\n{done.stderr[-2000:]}")
    if again.id != record.id:
        raise ValueError(f"{script}: its configuration has changed: these overrides are run {again.id} now")
    conditions = provenance.changed(record.provenance, again.provenance.code.sources)
    return Verification(
        epochs=len(rows),
        difference=next(_differences(rows, repeated), None)
        or (None if len(rows) == len(repeated) else f"it has {len(repeated)} epochs now"),
        weights=None,
        conditions=[*conditions, *_hardware(record.provenance, again.provenance)],
        contradictions=[*against_config(record), *against_epochs(record, rows)],
    )


def _hardware(then: Provenance, now: Provenance) -> Iterator[str]:
    for name in ("accelerator", "threads", "machine.cpu", "machine.system"):
        before, after = map(attrgetter(name), (then, now))
        if before != after:
            yield f"{name.rpartition('.')[2]} {before}, now {after}"


def _differences(recorded: Sequence[Epoch], repeated: Sequence[Epoch]) -> Iterator[str]:
    for number, (old, new) in enumerate(zip(recorded, repeated, strict=False), start=1):
        for name in {**old, **new}:
            before, now = old.get(name), new.get(name)
            if name not in _NOT_COMPARED and before != now:
                amount = "" if before is None or now is None else f", a difference of {now - before:.3g}"
                yield f"epoch {number}: {name} is {before!r} in the record and {now!r} now{amount}"


def main(arguments: Sequence[str]) -> int:
    """Verifies a run; returns 0 if it is identical and 1 if not."""
    parser = argparse.ArgumentParser(prog="ablate verify", description="Run a finished run again and compare.")
    parser.add_argument("run", type=Path, help="the run's folder, such as outputs/demo/plain/seed0-…")
    parser.add_argument("--epochs", type=int, help="repeat only so many")
    parser.add_argument("--allow", action="append", default=[], metavar="PACKAGE", help="a package whose code may run")
    parser.add_argument("--task", type=Path, metavar="FILE", help="the program of a task's run, which runs again")
    options = parser.parse_args(arguments)
    if options.task is None:
        found = verify(options.run, options.epochs, options.allow)
    elif options.epochs is not None:
        raise ValueError("--epochs: a task's run is repeated whole; leave it out")
    else:
        found = verify_task(options.run, options.task)
    what = f"{options.run}: {found.epochs} epochs"
    if found.identical:
        weights = "" if found.weights is None else " and final weights"
        say(f"{what}{weights} are identical.")
    else:
        say(f"{what} are not identical.")
        if found.difference is not None:
            say(f"The first difference: {found.difference}.")
        for text in found.contradictions:
            say(f"The record contradicts itself: {text}.")
        if found.weights:
            say(f"Final weights differ in {', '.join(found.weights)}.")
    if found.conditions:
        say("Not as it was then:", *(f"  {condition}" for condition in found.conditions))
    elif not found.identical:
        say("Code, packages, data and hardware are what they were.")
    return 0 if found.identical else 1
