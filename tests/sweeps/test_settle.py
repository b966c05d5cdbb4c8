"""Seeds are added until the claims are settled: which, when it ends, and that a kill changes nothing of it."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from reading_runs import record_of
from warm import HERE_TOO, Server

from ablate.report.analysis.analyse import analyse
from ablate.report.analysis.verdicts import Verdict
from ablate.report.study.collect import collect
from ablate.stats import Test

Ablate = Callable[..., "CompletedProcess[str]"]
STUDY = """# @package _global_
defaults:
  - override /data: digits
  - override /hydra/sweeper: settle
  - override /hydra/launcher: {launcher}
study:
  name: tried
  claims:
    - {{id: learns, statement: It learns., expect: plain (lr=0.001) > plain (lr=1e-07)}}
    - {{id: close, statement: Faster is better., expect: plain (lr=0.0011) > plain (lr=0.001)}}
data: {{subset: 20}}
train: {{epochs: 2, batch_size: 20}}
hydra:
  sweeper:
    max_seeds: 6
    seeds_per_look: {step}
    params: {{optimizer.lr: '1e-3,1.1e-3,1e-7', seed: '0,1,2'}}
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    (tmp_path / "conf" / "study").mkdir(parents=True)
    (tmp_path / "conf" / "study" / "tried.yaml").write_text(STUDY.format(launcher="cohort", step=1))
    return tmp_path / "outputs" / "tried"


def seeds(study: Path) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for path in study.glob("*/*/run.json"):
        record = record_of(path.parent)
        assert record["status"] == "complete"
        found.setdefault(str(record["config"]["optimizer"]["lr"]), []).append(record["seed"])
    return {lr: sorted(of) for lr, of in found.items()}


def looks(study: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted((study / "looks").glob("*.json"))]


SETTLE = ("-m", "--config-dir", "conf", "study=tried", "hydra.launcher.processes=1")


def test_seeds_are_added_for_what_is_open_and_only_for_that(ablate: Ablate, study: Path) -> None:
    done = ablate(*SETTLE)
    assert done.returncode == 0, done.stdout + done.stderr
    found = seeds(study)
    assert found["0.001"] == found["0.0011"] == list(range(6))  # the close claim went to the end of the budget
    assert found["1e-07"] == list(range(len(found["1e-07"]))) and 4 <= len(found["1e-07"]) < 6
    assert "1 of 2 claims are settled" in done.stdout
    assert "6 seeds of each variant would have taken 36 epochs" in done.stdout
    analysis = analyse(collect(study))
    assert [judged.verdict for judged in analysis.judgements] == [Verdict.SUPPORTED, Verdict.INCONCLUSIVE]
    assert analysis.looks.test is Test.ANYTIME
    said = [look["claims"]["learns"]["verdict"] for look in looks(study)]
    # It needs four pairs, and is looked at each time: open until it is settled.
    assert said == sorted(said) and said[0] == "inconclusive" and said[-1] == "supported"
    before = {path: path.stat().st_mtime_ns for path in study.glob("*/*/run.json")}
    again = ablate(*SETTLE)
    assert again.returncode == 0 and "1 of 2 claims are settled" in again.stdout
    assert {path: path.stat().st_mtime_ns for path in study.glob("*/*/run.json")} == before
    more = ablate(*SETTLE, "hydra.sweeper.max_seeds=7")
    assert more.returncode == 0
    assert seeds(study) == {**found, "0.001": list(range(7)), "0.0011": list(range(7))}


def test_a_settling_sweep_that_is_killed_comes_to_the_same_looks(
    ablate: Ablate, warm: Server, study: Path, tmp_path: Path
) -> None:
    kills = int(os.environ.get("ABLATE_KILLS", "3"))
    for number in range(kills):
        process = warm.popen("ablate", *SETTLE, cwd=tmp_path, env=HERE_TOO)
        wanted = 3 + 2 * number  # complete runs
        while process.poll() is None and len(list(study.glob("*/*/run.json"))) < wanted:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    done = ablate(*SETTLE)
    assert done.returncode == 0, done.stdout + done.stderr
    disturbed = (seeds(study), [judged.verdict for judged in analyse(collect(study)).judgements])
    (study).rename(tmp_path / "disturbed")
    assert ablate(*SETTLE).returncode == 0
    assert (seeds(study), [judged.verdict for judged in analyse(collect(study)).judgements]) == disturbed


def test_plain_hydra_sweeps_that_add_seeds_are_several_looks(ablate: Ablate, tmp_path: Path) -> None:
    sweep = ("-m", "study=demo", "model=plain,bn", "data.subset=20", "train.epochs=1", "train.batch_size=20")
    assert ablate(*sweep, "seed=0,1").returncode == 0
    study = tmp_path / "outputs" / "demo"
    assert analyse(collect(study)).looks.test is Test.FIXED
    assert ablate(*sweep, "model=dropout", "seed=0,1").returncode == 0  # of the same plan
    assert analyse(collect(study)).looks.test is Test.FIXED
    assert ablate(*sweep, "seed=2").returncode == 0
    found = analyse(collect(study)).looks
    assert (found.test, found.why) == (Test.ANYTIME, "the seeds came in 2 sweeps, one after another")


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (("-m", "study=demo", "hydra/sweeper=settle"), "the study has no claims"),
        ((*SETTLE, "study.test=fixed"), "study.test=fixed: judges one look"),
        ((*SETTLE, "hydra.sweeper.max_seeds=0"), "hydra.sweeper.max_seeds=0: must be above 0"),
        ((*SETTLE, "study.test=often"), "study.test=often: there is no such choice"),
        ((*SETTLE, "study.margin=-1"), "study.margin=-1.0: must be above 0"),
    ],
)
def test_what_cannot_be_settled_is_refused_before_work_starts(
    ablate: Ablate, study: Path, typed: tuple[str, ...], message: str
) -> None:
    done = ablate(*typed)
    assert done.returncode == 2 and message in done.stderr, done.stderr
    assert not list(study.parent.glob("*/*/*/run.json"))


def test_a_plan_of_a_settling_sweep_starts_nothing(ablate: Ablate, study: Path) -> None:
    done = ablate("plan", "--config-dir", "conf", "study=tried")
    assert done.returncode == 0 and "9 runs, 9 of them to train" in done.stdout, done.stderr
    assert "With 3 seeds and no earlier runs to go by" in done.stdout
    assert not list(study.glob("*/*/run.json"))
