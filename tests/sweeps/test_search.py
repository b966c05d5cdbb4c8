"""A search by Optuna: batches of trials, each trained as cohorts, judged on held-out images."""

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import yaml
from hydra.errors import MissingConfigException
from reading_runs import record_of

from ablate.commands.errors import explain

pytest.importorskip(
    "hydra_plugins.hydra_optuna_sweeper", reason="Optuna's sweeper is not installed; `make test` installs it"
)

Ablate = Callable[..., "CompletedProcess[str]"]
SEARCH = (
    "-m", "study=dropout_search", "data=digits", "data.subset=60", "data.validation=200", "train.epochs=1",
    "train.batch_size=64", "hydra.sweeper.n_trials=4", "hydra.sweeper.n_jobs=2", "hydra.launcher.processes=1",
)  # fmt: skip


def records(study: Path) -> list[dict[str, Any]]:
    return [record_of(path.parent) for path in sorted(study.glob("*/*/run.json"))]


def test_a_search_trains_its_batches_in_cohorts_and_can_be_repeated(ablate: Ablate, tmp_path: Path) -> None:
    done = ablate(*SEARCH)
    assert done.returncode == 0, done.stdout + done.stderr
    study = tmp_path / "outputs" / "dropout_search"
    found = records(study)
    assert [record["cohort"] for record in found] == [2] * 4
    best = yaml.safe_load((study / "optimization_results.yaml").read_text())
    of = {record["results"]["validation_accuracy"]["final"]: record["config"] for record in found}
    assert best["best_value"] == max(of)
    chosen = of[max(of)]
    assert best["best_params"] == {
        "model.edits.drop3.layer.p": chosen["model"]["edits"]["drop3"]["layer"]["p"],
        "optimizer.lr": chosen["optimizer"]["lr"],
    }
    again = ablate(*SEARCH)
    assert again.returncode == 0, again.stdout + again.stderr
    assert records(study) == found
    assert again.stdout.count("is complete already") == 4


@pytest.mark.parametrize("launcher", ["cohort", "basic"])
def test_a_trial_that_diverges_is_a_bad_one(ablate: Ablate, tmp_path: Path, launcher: str) -> None:
    """The search goes on, says at its end which trials diverged, and does the same when it is repeated."""
    search = (*SEARCH, f"hydra/launcher={launcher}", "optimizer.lr=choice(0.001,1e30)")
    search = tuple(text for text in search if launcher == "cohort" or "processes" not in text)
    for _ in range(2):
        done = ablate(*search)
        assert done.returncode == 1, done.stdout + done.stderr
        study = tmp_path / "outputs" / "dropout_search"
        found = records(study)
        assert {(record["config"]["optimizer"]["lr"], record["status"]) for record in found} == {
            (0.001, "complete"), (1e30, "diverged")
        }  # fmt: skip
        assert "runs did not end well" in done.stderr and done.stderr.count(" diverged ") == sum(
            record["status"] == "diverged" for record in found
        )
        best = yaml.safe_load((study / "optimization_results.yaml").read_text())
        good = [record for record in found if record["status"] == "complete"]
        assert best["best_value"] == max(record["results"]["validation_accuracy"]["final"] for record in good)


def test_what_a_search_starts_from_is_checked_first(ablate: Ablate, tmp_path: Path) -> None:
    done = ablate(*SEARCH, "data.validation=0")
    assert done.returncode == 2
    assert "study.metric=validation_accuracy" in done.stderr
    assert not (tmp_path / "outputs").exists() or not records(tmp_path / "outputs" / "dropout_search")


def test_without_the_sweeper_the_way_out_is_said() -> None:
    missing = MissingConfigException("no", missing_cfg_file="hydra/sweeper/optuna", options=["basic"])
    assert explain(missing) == ("hydra/sweeper=optuna: its plugin is not installed; pip install 'hydra-ablate[optuna]'")
