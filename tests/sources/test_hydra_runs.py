"""Folders of Hydra's jobs as its multiruns leave them, with all that is odd about them."""

import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra.core.global_hydra import GlobalHydra

from ablate.sources.found_runs import find_runs
from ablate.sources.hydra_runs import jobs
from ablate.sources.inference import JOB, infer
from ablate.sources.logged_run import LoggedRun, Wanted

PROJECT = Path(__file__).parent / "projects" / "plain_project.py"
Sweep = Callable[..., Path]


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    """Sweeps over an app of Hydra, and returns the folder."""
    monkeypatch.chdir(tmp_path)

    def sweep(*overrides: str, folder: str = "multirun") -> Path:
        monkeypatch.setattr(sys, "argv", ["train.py", "-m", f"hydra.sweep.dir={folder}", *overrides])
        GlobalHydra.instance().clear()
        runpy.run_path(str(PROJECT), run_name="__main__")
        return Path(folder)

    return sweep


def runs_of(folder: Path, **wanted: Any) -> list[LoggedRun]:
    return find_runs(str(folder), Wanted(**wanted)).runs


def test_what_is_known_of_a_job(sweep: Sweep) -> None:
    overrides = ["model=plain,wide", "seed=range(1,3)", "data.train_val_test_split=[2,1]", "+extra={a: 1}", "~tags"]
    runs = runs_of(sweep(*overrides, "+note='a, b'", "hydra.job.name=mine"))
    assert [run.name for run in runs] == ["0", "1", "2", "3"]
    first = runs[0].fields
    assert (first["model"], first["model.width"], first["seed"], first[JOB]) == ("plain", "8", "1", "mine")
    assert (first["data.train_val_test_split"], first["extra.a"], first["note"]) == ("[2, 1]", "1", "a, b")
    assert first["data.since"] == "2026-11-25" and "tags" not in first
    assert [row["val/acc"] for row in runs[2].history] == pytest.approx([0.32, 0.42, 0.52])
    assert runs[0].chosen[:2] == ["model", "seed"]
    wanted = infer(runs, Wanted()).wanted
    assert (wanted.variant, wanted.seed, wanted.settings) == ("model", "seed", [])


def test_several_multiruns_below_one_folder_and_a_search_beside_them(sweep: Sweep, tmp_path: Path) -> None:
    sweep("model=plain", "seed=" + ",".join(map(str, range(1, 12))), folder="logs/2026-11-24_10-00-00")
    sweep("model=wide", "seed=1,2,13", folder="logs/2026-11-25_10-00-00")
    (tmp_path / "logs" / "2026-11-25_10-00-00" / "optimization_results.yaml").write_text(
        "name: optuna\nbest_value: 1\n"
    )
    found = find_runs("logs", Wanted())
    assert [path.name for path in jobs(tmp_path / "logs")] == [*map(str, range(11)), "0", "1", "2"]
    assert found.ignored == ["2026-11-25_10-00-00/optimization_results.yaml: the best of a search"]
    said = infer(found.runs, Wanted()).said
    assert ("left out", "2026-11-25_10-00-00/2: interrupted: 1 of 3 epochs") in said
    assert ("variant", "model: plain (11), wide (2)") in said


def test_jobs_that_cannot_be_read_are_named(sweep: Sweep) -> None:
    folder = sweep("model=plain,wide", "seed=1,2,3,4")
    (folder / "0" / ".hydra" / "config.yaml").write_text("seed: !!python/object/apply:os.system ['touch executed']\n")
    (folder / "1" / ".hydra" / "overrides.yaml").write_text("- [")
    (folder / "2" / "metrics.csv").write_text("epoch,val/acc\n0,0.5\n1\n")
    (folder / "3" / "metrics.csv").unlink()
    why = {run.name: run.why for run in runs_of(folder) if run.status == "failed"}
    assert list(why) == ["0", "1", "2", "3"] and not Path("executed").exists()
    assert "config.yaml: cannot be read as YAML" in why["0"] and "overrides.yaml: cannot be read as YAML" in why["1"]
    assert "row 3: has 1 cells" in why["2"] and why["3"] == "its folder has no metrics (CSV, JSON, event files)"


def test_versions_of_a_job_that_was_resumed(sweep: Sweep) -> None:
    folder = sweep("seed=1,2")
    for number, epochs in (("0", (0, 1, 2)), ("1", (1, 2))):
        version = folder / "0" / "csv" / f"version_{number}"
        version.mkdir(parents=True)
        rows = [f"{epoch},{epoch},0.{epoch}{number}" for epoch in epochs]
        (version / "metrics.csv").write_text("\n".join(["epoch,step,val/acc", *rows, ""]))
    (folder / "0" / "metrics.csv").unlink()
    with pytest.raises(
        ValueError, match=r"version_1/metrics\.csv, row 2: the epoch or step goes back from 2 to 1"
    ) as error:
        runs_of(folder)
    assert "--resumed" in str(error.value)
    assert [row["val/acc"] for row in runs_of(folder, resumed=True)[0].history] == [0.0, 0.11, 0.21]
