"""Sweeps on a real Slurm cluster."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from guides import to_the_letter
from hold import held
from reading_runs import record_of, results_of
from running_clusters import Slurm, wait_for

Command = Callable[..., list[str]]
# Tasks of one core, so that both nodes have work.
SLURM = (
    "hydra/launcher=slurm", "hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=null",
    "hydra.launcher.timeout_min=5", "hydra.launcher.partition=low",
)  # fmt: skip
LONG = "train.epochs=8"  # of which two cohorts of two runs are held in the fourth
HELD = 6


def folders(study: Path) -> list[Path]:
    return sorted(path.parent for path in study.glob("*/*/run.json"))


def start(slurm: Slurm, command: list[str], cwd: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(command, cwd=cwd, env=slurm.env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def records(study: Path) -> list[dict[str, Any]]:
    return [record_of(folder) for folder in folders(study)]


def epochs(study: Path) -> list[int]:
    return [len(results_of(folder)) for folder in folders(study)]


def end(process: "subprocess.Popen[str]", seconds: float = 600) -> tuple[int, str]:
    out, err = process.communicate(timeout=seconds)
    return process.returncode, out + err


def test_the_guide_to_the_letter(slurm: Slurm, tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}:{slurm.env['PATH']}"
    _, again = to_the_letter("slurm.md", tmp_path, {**slurm.env, "PATH": path, "OMP_NUM_THREADS": "1"})
    assert again.count("is complete already") == 9
    found = records(tmp_path / "outputs" / "demo")
    assert [record["status"] for record in found] == ["complete"] * 9
    assert {record["cohort"] for record in found} == {3}
    assert {record["provenance"]["threads"] for record in found} == {2}
    assert "9 complete runs of 3 variants" in (tmp_path / "outputs" / "demo" / "report" / "report.md").read_text()
    arrays = {path.name.partition("_")[0] for path in (tmp_path / "outputs" / "demo" / ".slurm").glob("[0-9]*")}
    assert len(arrays) == 2, "the cluster takes two tasks an array"
    sweep = [sys.executable, "-m", "ablate", "-m", "study=demo", "train.epochs=2", "hydra/launcher=slurm"]
    code, said = end(start(slurm, sweep, tmp_path))
    assert code == 0, said
    assert records(tmp_path / "outputs" / "demo") == found


@pytest.fixture
def under_way(slurm: Slurm, command: Command, tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A sweep of two tasks, each held in the fourth epoch of its runs until `let_go`."""
    study = tmp_path / "study"
    process = start(slurm, command(*SLURM, LONG, *held(tmp_path / "gate", HELD)), tmp_path)
    try:
        wait_for(lambda: len(epochs(study)) == 4 and min(epochs(study)) >= 2, "two epochs of all runs")
        assert process.poll() is None and running(slurm) == 2
        yield process
    finally:
        let_go(tmp_path)
        process.kill()
        process.communicate()


def let_go(folder: Path) -> None:
    (folder / "gate").unlink(missing_ok=True)


def running(slurm: Slurm, partition: str = "low") -> int:
    """How many tasks have processes, also such as are being ended."""
    return len(slurm.run("squeue", "-h", "-r", "-p", partition, "-t", "running,completing", "-o", "%i").stdout.split())


def test_a_cancelled_task_is_named_and_the_command_goes_on_with_it(
    slurm: Slurm, command: Command, under_way: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    study = tmp_path / "study"
    first = slurm.run("squeue", "-h", "-r", "-o", "%i").stdout.split()[0]
    slurm.run("scancel", first)
    wait_for(lambda: running(slurm) == 1, "the end of the cancelled task")
    let_go(tmp_path)
    code, said = end(under_way)
    assert code == 1
    assert "2 of 4 runs did not end well" in said
    before = epochs(study)
    assert 2 <= min(before) < 8
    # The study is finished on this machine, from the same run directories.
    again = command("hydra/launcher=cohort", LONG, *held(tmp_path / "gate", HELD))
    let_go(tmp_path)
    code, said = end(start(slurm, again, tmp_path))
    assert code == 0, said
    assert [record["status"] for record in records(study)] == ["complete"] * 4
    assert sorted(len(record["starts"]) for record in records(study)) == [1, 1, 2, 2]


def test_a_displaced_task_is_queued_again_and_resumes(
    slurm: Slurm, under_way: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    study = tmp_path / "study"
    wrap = f"--wrap=while [ -e {tmp_path}/gate ]; do sleep 0.1; done"
    slurm.run("sbatch", "--partition=high", "--nodes=2", "--exclusive", "--output=/dev/null", wrap)
    wait_for(lambda: running(slurm, "high") == 1 and running(slurm) == 0, "the displacement")
    let_go(tmp_path)
    code, said = end(under_way)
    assert code == 0, said
    found = records(study)
    assert [record["status"] for record in found] == ["complete"] * 4
    assert [len(record["starts"]) for record in found] == [2] * 4
    assert epochs(study) == [8] * 4


def test_the_loss_of_a_node_costs_no_result(slurm: Slurm, under_way: "subprocess.Popen[str]", tmp_path: Path) -> None:
    study = tmp_path / "study"
    node = slurm.run("squeue", "-h", "-r", "-t", "running", "-o", "%N").stdout.split()[0]
    slurm.kill_node(node)
    let_go(tmp_path)
    try:
        code, said = end(under_way)
    finally:
        slurm.start_node(node)
        wait_for(lambda: slurm.idle() == 2, "the node's return")
    assert code == 0, said
    assert [record["status"] for record in records(study)] == ["complete"] * 4


def test_what_slurm_refuses_is_said(slurm: Slurm, command: Command, tmp_path: Path) -> None:
    code, said = end(start(slurm, command(*SLURM, "hydra.launcher.partition=hgih"), tmp_path))
    assert code == 2
    assert "Slurm refuses the job: " in said and "invalid partition" in said
    assert "`sinfo -s` lists the partitions" in said
    assert "Traceback" not in said


def test_what_would_wait_for_ever_is_cancelled_and_said(slurm: Slurm, command: Command, tmp_path: Path) -> None:
    code, said = end(start(slurm, command(*SLURM, "hydra.launcher.cpus_per_task=64"), tmp_path))
    assert code == 1
    assert "plain seed 0 not started: it would wait for ever" in said
    assert "`sinfo --Node --long` lists the nodes" in said
    assert "Traceback" not in said
    assert not slurm.run("squeue", "-h").stdout


def test_other_code_on_a_node_is_not_run(slurm: Slurm, command: Command, tmp_path: Path) -> None:
    changed = tmp_path / "changed"
    setup = [
        f"cp -r {Path(__file__).parents[2]}/ablate {Path(__file__).parents[2]}/hydra_plugins {changed}/",
        f"cp -r {Path(__file__).parents[2]}/conf {changed}/",
        f"echo '# other' >> {changed}/ablate/seeding.py",
        f"export PYTHONPATH={changed}",
    ]
    changed.mkdir()
    quoted = ",".join(f'"{line}"' for line in setup)
    code, said = end(start(slurm, command(*SLURM, "seed=0", f"hydra.launcher.setup=[{quoted}]"), tmp_path))
    assert code == 1
    assert "plain seed 0 not started: RuntimeError: " in said and "has other code of ablate" in said
    assert not folders(tmp_path / "study")


def test_without_a_cluster_the_way_out_is_said(command: Command, tmp_path: Path, slurm: Slurm) -> None:
    process = subprocess.run(
        command(*SLURM),
        cwd=tmp_path,
        env={**slurm.env, "PATH": "/nowhere"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 2
    assert "there is no Slurm on this machine (no `sinfo`)" in process.stderr
    assert "hydra/launcher=cohort" in process.stderr
