"""Sweeps on a real Ray cluster of two node processes."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from guides import to_the_letter
from hold import HOLDING, held
from reading_runs import record_of, results_of
from running_clusters import ROOT, free_port, wait_for

ray = pytest.importorskip("ray", reason="Ray is not installed; `make test-ray` installs it")
import psutil  # noqa: E402  (Ray depends on it)

Command = Callable[..., list[str]]
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0", "RAY_DISABLE_IMPORT_WARNING": "1", "PYTHONPATH": f"{ROOT}:{HOLDING}"
}  # fmt: skip
NO_TOKEN = {"RAY_AUTH_MODE": "disabled"}  # whatever token the user has


class Cluster:
    """A head that takes no work, and nodes of one core each, every one with its own raylet."""

    def __init__(self) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        self.env = {**os.environ, **QUIET, **NO_TOKEN}
        self.nodes: list[psutil.Process] = []

    def start(self) -> None:
        port = self.address.partition(":")[2]
        self._ray("start", "--head", f"--port={port}", "--num-cpus=0", "--include-dashboard=false")
        for _ in range(2):
            self.add_node()

    def add_node(self) -> None:
        before = {process.pid for process in self._raylets()}
        self._ray("start", f"--address={self.address}", "--num-cpus=1", "--num-gpus=1")
        self.nodes += [process for process in self._raylets() if process.pid not in before]

    def kill_node(self) -> None:
        """Takes away a node with all its workers, as a power cut would."""
        node = self.nodes.pop(0)
        family = [node, *node.children(recursive=True)]
        for process in family:
            process.send_signal(signal.SIGKILL)
        psutil.wait_procs(family, timeout=10)

    def workers(self) -> list[psutil.Process]:
        """Returns the processes that train."""
        found = [child for node in self.nodes for child in node.children(recursive=True)]
        return [process for process in found if "ray::_do" in " ".join(process.cmdline())]

    def stop(self) -> None:
        self._ray("stop", "--force")

    def _raylets(self) -> list[psutil.Process]:
        return [process for process in psutil.process_iter() if process.name() == "raylet"]

    def _ray(self, *arguments: str) -> None:
        command = [str(Path(sys.executable).parent / "ray"), *arguments]
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_guide_to_the_letter(tmp_path: Path) -> None:  # the first test: `ray stop` is for all of a machine
    if not os.environ.get("ABLATE_CLUSTERS"):
        pytest.skip("clusters are started by `make test-slurm` and `make test-ray`")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    _, clustered = to_the_letter("ray.md", tmp_path, {**os.environ, **QUIET, "PATH": path, "HOME": str(tmp_path)})
    assert "9 complete runs of 3 variants" in clustered
    found = records(tmp_path / "outputs" / "demo")
    assert [record["status"] for record in found] == ["complete"] * 9
    assert {record["cohort"] for record in found} == {3}
    assert {record["provenance"]["threads"] for record in found} == {1}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    if not os.environ.get("ABLATE_CLUSTERS"):
        pytest.skip("clusters are started by `make test-slurm` and `make test-ray`")
    made = Cluster()
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def sweep(cluster: Cluster, command: Command, tmp_path: Path) -> Callable[..., "subprocess.Popen[str]"]:
    def start(*overrides: str) -> "subprocess.Popen[str]":
        typed = command("hydra/launcher=ray", f"hydra.launcher.address={cluster.address}", *overrides)
        pipe = subprocess.PIPE
        return subprocess.Popen(typed, cwd=tmp_path, env=cluster.env, text=True, stdout=pipe, stderr=pipe)

    return start


def records(study: Path) -> list[dict[str, Any]]:
    return [record_of(path.parent) for path in sorted(study.glob("*/*/run.json"))]


def epochs(study: Path) -> list[int]:
    return [len(results_of(path.parent)) for path in sorted(study.glob("*/*/run.json"))]


def end(process: "subprocess.Popen[str]") -> tuple[int, str]:
    out, err = process.communicate(timeout=600)
    return process.returncode, out + err


def test_tasks_share_a_gpu(cluster: Cluster, sweep: Callable[..., Any], tmp_path: Path) -> None:
    asked = ("train.epochs=1", "hardware=cpu", "hydra.launcher.num_gpus=0.5", "hydra.launcher.members=2")
    code, said = end(sweep(*asked))
    assert code == 0, said
    assert [record["status"] for record in records(tmp_path / "study")] == ["complete"] * 4


def test_what_no_node_has_is_said(sweep: Callable[..., Any], tmp_path: Path) -> None:
    process = sweep("train.epochs=1", "hydra.launcher.num_gpus=2")
    lines = iter(process.stdout.readline, "")
    assert any("num_gpus=2: no node of the cluster has so many (the largest has 1)" in line for line in lines)
    process.kill()
    process.communicate()


@pytest.mark.parametrize("lost", ["worker", "node"])
def test_the_loss_of_a_worker_or_a_node_costs_no_result(
    cluster: Cluster, sweep: Callable[..., Any], tmp_path: Path, lost: str
) -> None:
    study = tmp_path / "study"
    gate = tmp_path / "gate"
    process = sweep("train.epochs=8", *held(gate, after=6))
    wait_for(lambda: len(epochs(study)) == 4 and min(epochs(study)) >= 2, "two epochs of all runs")
    if lost == "worker":
        cluster.workers()[0].send_signal(signal.SIGKILL)
    else:
        cluster.kill_node()
    gate.unlink()
    code, said = end(process)
    assert code == 0, said
    found = records(study)
    assert [record["status"] for record in found] == ["complete"] * 4
    assert epochs(study) == [8] * 4
    assert sorted(len(record["starts"]) for record in found) == [1, 1, 2, 2]
    if lost == "node":
        cluster.add_node()


def test_a_cluster_that_does_not_answer_is_said(command: Command, tmp_path: Path, cluster: Cluster) -> None:
    typed = command("hydra/launcher=ray", f"hydra.launcher.address=127.0.0.1:{free_port()}")
    done = subprocess.run(
        typed,
        cwd=tmp_path,
        env={**os.environ, **QUIET, **NO_TOKEN},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 2
    assert "hydra/launcher=ray: no cluster answers at hydra.launcher.address=127.0.0.1:" in done.stderr
    assert "`ray start --head` starts one; one that has a token takes RAY_AUTH_MODE=token" in done.stderr
    assert not records(tmp_path / "study")
