"""Sweeps that are killed, and disks that are full: the results are those of an undisturbed sweep.

ABLATE_KILLS and ABLATE_FAULT_SEED set how many kills there are, and when; `make test-faults` runs the long form.
"""

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hold import HOLDING, held
from reading_runs import record_of
from warm import ROOT, Popen, Server

from ablate.__main__ import run_command
from ablate.records.epochs import TIMES
from ablate.records.run_directory import RunDirectory

KILLS = int(os.environ.get("ABLATE_KILLS", "3"))
SEED = int(os.environ.get("ABLATE_FAULT_SEED", "0"))
SWEEP = (
    "-m", "study=demo", "data.subset=30", "model=plain,bn_dropout", "seed=0,1", "train.epochs=6", "train.batch_size=64",
    "hardware=cpu", "hardware.threads=1",
)  # fmt: skip
ALONE: tuple[str, ...] = ()
PARALLEL = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
COHORT = ("hydra/launcher=cohort", "hydra.launcher.processes=2")


ENV = {**os.environ, "PYTHONPATH": f"{ROOT}:{HOLDING}"}
Start = Callable[..., Popen]


@pytest.fixture
def start(warm: Server) -> Start:
    """Starts the sweep in a folder, in a session of its own, so that a kill reaches its workers too."""
    return lambda folder, *arguments: warm.popen("ablate", *SWEEP, *arguments, cwd=folder, env=ENV)


@pytest.fixture
def finish(start: Start) -> Callable[..., str]:
    def call(folder: Path, *arguments: str) -> str:
        process = start(folder, *arguments)
        out, errors = process.communicate()
        assert process.returncode == 0, errors
        return out

    return call


def untimed(folder: Path) -> dict[str, Any]:
    """results.json without times and what is said of them, and without what a start is."""
    assert run_command(["report", str(folder / "outputs" / "demo")]) == 0
    results = json.loads((folder / "outputs" / "demo" / "report" / "results.json").read_text())
    timed = {*TIMES, "total_seconds"}
    for key in ("summary", "comparisons", "effects", "published"):
        results[key] = [row for row in results[key] if row["metric"] not in timed]
    for row in results["runs"]:
        for key in [*(name for name in row if name in timed), "started"]:
            row.pop(key, None)
    results["mismatches"] = [text for text in results["mismatches"] if "other runs" not in text]
    return results  # type: ignore[no-any-return]


def runs(folder: Path) -> dict[str, tuple[list[dict[str, float]], Any]]:
    """The epochs of every run without their times, and the digests of its final weights."""
    found = {}
    for path in sorted(folder.rglob("run.json")):
        directory = RunDirectory(path.parent)
        record = record_of(directory.folder)
        assert record["status"] == "complete"
        rows = [
            {key: value for key, value in row.items() if key not in (*TIMES, "images_per_second")}
            for row in directory.read_epochs()
        ]
        found[path.parent.name] = (rows, record["final_weights"])
    return found


def epochs_of(folder: Path, in_cohorts: bool = False) -> int:
    """The epochs that are safe on disk; in cohorts, of which each has the runs of a seed, those that all have."""
    of_seed: dict[str, list[int]] = {}
    for path in folder.rglob("run.json"):
        seed = path.parent.name.partition("-")[0] if in_cohorts else str(path)
        of_seed.setdefault(seed, []).append(len(RunDirectory(path.parent).read_epochs()))
    return sum(min(epochs) for epochs in of_seed.values())


def workers_of(process: Popen, folder: Path) -> list[int]:
    """The processes that train runs, beside the command's own."""
    records = [record_of(path.parent) for path in folder.rglob("run.json")]
    pids = {record["starts"][-1]["pid"] for record in records if record["status"] == "running"}
    return sorted(pids - {process.pid})


@pytest.mark.usefixtures("undrawn")
def test_kills_at_random_instants_lose_nothing(
    start: Start, finish: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected, results, whole = {}, {}, {}
    for launcher in (ALONE, COHORT):
        undisturbed = tmp_path / f"undisturbed{len(launcher)}"
        undisturbed.mkdir()
        began = time.monotonic()
        finish(undisturbed, *launcher)
        whole[launcher] = time.monotonic() - began
        expected[launcher], results[launcher] = runs(undisturbed), untimed(undisturbed)
        assert len(expected[launcher]) == 4
    draw = random.Random(SEED)
    kills = sweeps = resumed = of_workers = 0
    while kills < KILLS:
        launcher = (COHORT, PARALLEL, ALONE)[sweeps % 3]
        like, cohorts = (COHORT, True) if launcher is COHORT else (ALONE, False)
        killed = tmp_path / f"killed{sweeps}"
        killed.mkdir()
        sweeps += 1
        for _ in range(min(1 if KILLS <= 3 else draw.randint(1, 4), KILLS - kills)):
            before = epochs_of(killed, cohorts)
            process = start(killed, *launcher)
            if draw.random() < 0.8:  # else it may be killed as it starts
                while process.poll() is None and epochs_of(killed, cohorts) == before:
                    time.sleep(0.01)
            try:
                process.communicate(timeout=draw.uniform(0, whole[like] / 2))
                assert process.returncode == 0
                break  # it was done before it could be killed
            except subprocess.TimeoutExpired:
                at = epochs_of(killed, cohorts)
                workers = workers_of(process, killed) if draw.random() < 0.5 else []
                with suppress(ProcessLookupError):
                    if workers:  # under joblib the command then fails; cohorts it goes on with
                        os.kill(draw.choice(workers), signal.SIGKILL)
                        of_workers += 1
                    else:
                        os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
                kills += 1
            assert epochs_of(killed, cohorts) >= at >= before, "an epoch that was there is gone"
            resumed += epochs_of(killed, cohorts) - before
            if process.returncode == 0:
                break
        out = finish(killed, *launcher)
        assert "failed" not in out
        assert runs(killed) == expected[like]
        assert untimed(killed) == results[like]
        names = {path.name for path in killed.rglob("*") if path.is_file() and path.parent.name.startswith("seed")}
        assert names == {"checkpoint.pt", "epochs.csv", "run.json", "train.log"}, "leftovers"
    with capsys.disabled():
        print(
            f"\n{kills} kills, {of_workers} of them of a worker alone, in {sweeps} sweeps under basic, joblib and "
            f"cohort (seed {SEED}): {resumed} epochs gone on from, 0 results lost"
        )


def is_gone(pid: int) -> bool:
    """Whether a process has ended, or only waits for its parent to take notice."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.parametrize(
    ("launcher", "number"), [("joblib", "SIGTERM"), ("joblib", "SIGINT"), ("joblib", "SIGKILL"), ("cohort", "SIGTERM")]
)
def test_workers_end_with_their_command(launcher: str, number: str, start: Start, tmp_path: Path) -> None:
    """Those under way and those that would take a next run; what they had begun is recorded as interrupted."""
    arguments = PARALLEL if launcher == "joblib" else COHORT
    after = 2 if launcher == "joblib" else 4  # epochs of each of two runs
    process = start(tmp_path, *arguments, *held(tmp_path / "gate", after=after))
    wait_for(lambda: len(workers_of(process, tmp_path)) == 2, process)
    wait_for(lambda: epochs_of(tmp_path) >= 4, process)
    workers = workers_of(process, tmp_path)
    os.kill(process.pid, signal.Signals[number])  # it alone
    out, errors = process.communicate()
    assert process.returncode == {"SIGTERM": 143, "SIGINT": 130, "SIGKILL": -signal.SIGKILL}[number], (out, errors)
    while not all(map(is_gone, workers)):
        time.sleep(0.02)
    records = [record_of(path.parent) for path in tmp_path.rglob("run.json")]
    assert len(records) == len(workers) * (1 if launcher == "joblib" else 2), "one more was begun"
    assert {record["status"] for record in records} == {"interrupted"}
    said = "the command that started this process is gone" if number == "SIGKILL" else "SIGTERM"
    assert {record["error"]["message"] for record in records} == {said}


def test_two_identical_sweeps_share_the_work(start: Start, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    both = [start(tmp_path, *held(gate, after=2)), start(tmp_path, *held(gate, after=2))]
    for process in both:  # each is at a run of its own
        wait_for(lambda: epochs_of(tmp_path) == 4, process)
    gate.unlink()
    outputs = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert all("% after 6 epochs" in out for out, _ in outputs), outputs
    assert len(runs(tmp_path)) == 4
    logs = [path.read_text() for path in tmp_path.rglob("train.log")]
    assert [log.count("training loss") for log in logs] == [6] * 4, "a run was trained twice"
    assert not list(tmp_path.rglob("*.lock"))


def wait_for(condition: Callable[[], bool], process: Popen) -> None:
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def test_sigterm_is_recorded_and_gone_on_from(start: Start, finish: Callable[..., str], tmp_path: Path) -> None:
    hold = held(tmp_path / "gate", after=2)
    process = start(tmp_path, *hold)
    wait_for(lambda: epochs_of(tmp_path) == 2, process)
    process.terminate()
    _, errors = process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    assert "Terminated. The same command again resumes where this one stopped." in errors
    (record,) = [record_of(path.parent) for path in tmp_path.rglob("run.json")]
    assert record["status"] == "interrupted"
    assert record["error"]["type"] == "Terminated"
    assert record["error"]["epoch"] == 3
    (tmp_path / "gate").unlink()
    assert "resumes after epoch 2" in finish(tmp_path, *hold, "model=plain", "seed=0")


@pytest.mark.skipif(os.geteuid() != 0, reason="a small disk has to be mounted, which takes root")
def test_a_full_disk_is_a_failure_that_says_so(start: Start, finish: Callable[..., str], tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        small = ("hydra.sweep.dir=disk/demo", "train.epochs=2")
        process = start(tmp_path, *small)
        _, errors = process.communicate()
        assert process.returncode == 1
        assert "No space left on device" in errors
        assert "Traceback" not in errors and "Logging error" not in errors
        directories = [RunDirectory(path.parent) for path in disk.rglob("run.json")]
        records = [directory.read_record() for directory in directories]
        statuses = [record.status for record in records if record is not None]
        assert len(statuses) == len(directories) and "failed" in statuses
        for directory in directories:  # whatever is there is whole
            assert all(row["epoch"] == number for number, row in enumerate(directory.read_epochs(), start=1))
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        finish(tmp_path, *small)
        assert len(runs(disk)) == 4
    finally:
        subprocess.run(["umount", str(disk)], check=False)


@pytest.mark.parametrize("limit", [300, 3_000, 100_000])
def test_a_write_of_any_size_that_fails(limit: int, warm: Server, tmp_path: Path) -> None:
    """The operating system refuses files over a size: first of the table, then of the record, then of the state."""
    code = (
        "import resource, signal, sys; from ablate.__main__ import main\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, resource.RLIM_INFINITY))\n"
        "main()"
    )
    arguments = ("study=demo", "train.epochs=2", "hardware=cpu", "hydra.run.dir=run")
    (tmp_path / "limited.py").write_text(code)
    done = warm.run("limited.py", *arguments, cwd=tmp_path, env=ENV)
    assert done.returncode == 1
    assert "File too large" in done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    left = [path.name for path in (tmp_path / "run").iterdir() if path.is_file()]
    assert not [name for name in left if name.endswith((".part", ".lock"))]
    record = RunDirectory(tmp_path / "run").read_record()
    if limit == 100_000:
        assert record is not None and record.status == "failed"
        assert record.error is not None and record.error.type == "OSError" and record.error.epoch == 1
    else:
        assert record is None  # it could not be written either
