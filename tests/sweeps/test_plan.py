"""`hydra/launcher=plan`: what a sweep would do, before and after parts of it are done."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from reading_runs import record_of

from ablate.config.schema import Config
from ablate.records.record import Status
from ablate.records.run_directory import RunDirectory
from ablate.runs.job import Job
from ablate.sweeps.cohorts import plan
from ablate.sweeps.plan import Cell, cells, summary

Compose = Callable[..., Config]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def planned(study: Path, members: list[Job]) -> list[Cell]:
    return cells(members, plan(members, 8), study.parent)


def test_cells_say_what_there_is_and_what_would_be_done(
    quick: Compose, train_one: Callable[..., Path], tmp_path: Path
) -> None:
    study = tmp_path / "outputs" / "demo"
    train_one("model=plain", folder="outputs/demo/plain/seed0")
    failed = train_one("model=dropout", folder="outputs/demo/dropout/seed0")
    directory = RunDirectory(failed)
    record = directory.read_record()
    assert record is not None
    directory.write_record(replace(record, status=Status.INTERRUPTED))
    directory.write_epochs(directory.read_epochs()[:1])
    members = [
        Job(quick(f"model={name}"), study / name / "seed0", ()) for name in ("plain", "dropout", "bn", "bn_dropout")
    ]
    found = planned(study, members)
    assert [cell.state for cell in found] == ["complete", "to resume", "to run", "to run"]
    assert [(cell.done, cell.epochs) for cell in found] == [(2, 2), (1, 2), (0, 2), (0, 2)]
    assert [cell.cohort for cell in found] == [None, 1, 1, 1]
    # One complete run on this data: plain's, of the others' base.
    done = record_of(study / "plain" / "seed0")
    epoch = done["times"]["total_seconds"] / 2 * done["provenance"]["threads"]
    assert [cell.core_seconds for cell in found] == pytest.approx([0, epoch, 2 * epoch, 2 * epoch])
    assert found[2].basis == "1 run of this base"
    text = summary(found, 1, 2)
    assert "4 runs, 3 of them to train, in 1 cohort." in text
    assert text.endswith("Nothing was started.")


def test_without_earlier_runs_the_time_is_not_known(quick: Compose, tmp_path: Path) -> None:
    members = [Job(quick("model=plain"), tmp_path / "outputs" / "demo" / "plain" / "seed0", ())]
    found = planned(tmp_path / "outputs" / "demo", members)
    assert found[0].core_seconds is None
    assert "How long they take is not known" in summary(found, 1, 2)


def test_the_launcher_prints_and_starts_nothing(ablate: Run, tmp_path: Path) -> None:
    sweep = ("-m", "study=demo", "data.subset=30", "train.epochs=1", "model=plain,dropout", "seed=0")
    first = ablate(*sweep, "hydra/launcher=plan", "hydra.launcher.processes=1")
    assert first.returncode == 0, first.stderr
    assert "2 runs, 2 of them to train, in 1 cohort." in first.stdout
    assert "How long they take is not known" in first.stdout
    assert not list(tmp_path.rglob("run.json")) and not list(tmp_path.rglob("plan/*.json"))
    assert ablate(*sweep).returncode == 0
    more = ablate(*sweep, "train.epochs=3", "hydra/launcher=plan")
    assert "core-hours" in more.stdout
    (file,) = tmp_path.rglob("plan/*.json")
    assert len(json.loads(file.read_text())["cells"]) == 2
