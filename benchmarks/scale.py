"""Times the records of studies of growing size: writing them, collecting them, and the report; and its peak memory.

Run directories are made first, of 50 epochs each, as training writes them. Each step runs in a process of its own; its
peer reads the same bytes and does nothing with them.
"""

import argparse
import functools
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from ablate.records.epochs import summarise, total_times
from ablate.records.forms import plain
from ablate.records.run_directory import RunDirectory

EPOCHS = 50
WRITTEN = 500  # runs that are written as training writes them, waiting for the disk
COLLECT = "import sys, pathlib; from ablate.report.study.collect import collect; collect(pathlib.Path(sys.argv[1]))"
WORK = 100_000  # bytes of a cohort's work, pickled
READ = """
import sys
from pathlib import Path
for path in Path(sys.argv[1]).glob("*/*/*.*"):
    path.read_bytes()
"""
COUNT = """
import collections, json, sys
counts = collections.Counter()
def count(event, arguments):
    if event in ("open", "os.rename", "os.remove", "os.mkdir", "os.link", "shutil.move"):
        if any("/seed" in str(path) for path in arguments[:2]):
            counts[event.removeprefix("os.")] += 1
sys.addaudithook(count)
from ablate.__main__ import run_command
code = run_command(sys.argv[1:])
assert code == 0, code
print()
print(json.dumps(counts))
"""
# A command whose jobs are composed by Hydra, each as often as Hydra asks for it.
UNCACHED = """
import sys
from ablate.sweeps import jobs
jobs.remember = lambda loader: None
from ablate.__main__ import run_command
sys.exit(run_command(sys.argv[1:]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--seeds", type=int, default=1000, help="runs of a variant (default: 1000)")
    parser.add_argument("--jobs", action="store_true", help="measure the jobs of a sweep alone")
    parser.add_argument(
        "--slurm", type=int, metavar="TASKS", help="submit so many tasks to a Slurm of this machine, alone"
    )
    options = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    if options.slurm is not None:
        print(of_submissions(options.slurm))
        return
    if options.jobs:
        with tempfile.TemporaryDirectory() as folder:
            print(of_a_job(Path(folder)))
        return
    with tempfile.TemporaryDirectory() as folder:
        print(f"{of_a_run(Path(folder))}\n\n{of_a_job(Path(folder))}\n", flush=True)
    columns = ["runs", "variants", "GB", "a record written, ms", "bytes read, s", "collected first, s", "again, s",
               "1 % changed, s", "GiB", "again / first", "report, s", "report / bytes", "GiB"]  # fmt: skip
    print(f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}")
    for runs in options.runs:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["XDG_CACHE_HOME"] = f"{folder}/cache"
            print(f"| {' | '.join(measure(Path(folder) / 'many', runs, max(2, runs // options.seeds)))} |", flush=True)


def of_a_run(folder: Path) -> str:
    """Returns what a run leaves, and how often it opens, renames and removes files."""
    quick = ["study=demo", "data.subset=30", "train.batch_size=64", "hardware.threads=1"]
    counts = []
    for epochs in (2, 12):
        command = [sys.executable, "-c", COUNT, *quick, f"train.epochs={epochs}"]
        done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
        counts.append(json.loads(done.stdout.splitlines()[-1]))
    an_epoch = {name: round((counts[1][name] - counts[0].get(name, 0)) / 10) for name in sorted(counts[1])}
    of_epochs = ", ".join(f"{name} {count}" for name, count in an_epoch.items() if count)
    run = next(folder.rglob("run.json")).parent
    files = [path for path in run.rglob("*") if path.is_file()]
    return (f"A run leaves {len(files)} files ({', '.join(sorted(path.name for path in files))}). Calls of the "
            f"operating system on its files: {sum(counts[0].values())} in a run of 2 epochs; an epoch more: "
            f"{of_epochs}.")  # fmt: skip


def of_a_job(folder: Path) -> str:
    """Returns what a job costs the command that starts a sweep, before it is run, with and without the cache."""
    lines = []
    for name, command in {"once for all seeds": ("-m", "ablate"), "by Hydra each time": ("-c", UNCACHED)}.items():
        seconds = []
        for jobs in (20, 100):
            sweep = ("-m", "study=demo", "model=plain,dropout", f"seed=range({jobs // 2})", "hydra/launcher=plan")
            seconds.append(timed(*command, *sweep, f"hydra.sweep.dir={folder}/{name}")[0])
        lines.append(
            f"Composing, checking and planning the jobs of a sweep, composed {name}: {seconds[0]:.1f} s for 20, "
            f"{seconds[1]:.1f} s for 100, {1000 * (seconds[1] - seconds[0]) / 80:.1f} ms a job."
        )
    return "\n".join(lines)


def of_submissions(tasks: int) -> str:
    """Returns how long it takes to submit arrays, each of whose tasks has a cohort's pickled work with it."""
    import submitit

    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from running_clusters import Slurm

    work = functools.partial(len, os.urandom(WORK))
    said = []
    with tempfile.TemporaryDirectory() as folder:
        cluster = Slurm(Path(folder), largest_array=tasks + 1)
        try:
            cluster.start()
            os.environ.update(cluster.env)
            for number in (tasks // 10, tasks):
                executor = submitit.AutoExecutor(folder=f"{folder}/{number}", cluster="slurm")
                executor.update_parameters(slurm_partition="low", slurm_additional_parameters={"hold": True})
                started = time.perf_counter()
                executor.submit_array([work] * number)
                said.append(f"{number} tasks {time.perf_counter() - started:.2f} s")
        finally:
            cluster.stop()
    return f"Submitting an array, with {WORK / 1000:.0f} kB of work a task: {', '.join(said)}."


def measure(study: Path, runs: int, variants: int) -> list[str]:
    """Returns a row of the table."""
    make_study(study, runs, variants)
    size = sum(path.stat().st_size for path in study.glob("*/*/*.*"))
    written = write_again(study, min(runs, WRITTEN))
    read, _ = timed("-c", READ, str(study))
    first, memory = timed("-c", COLLECT, str(study))
    again, _ = timed("-c", COLLECT, str(study))
    write_again(study, runs // 100)
    changed, _ = timed("-c", COLLECT, str(study))
    report, report_memory = timed("-m", "ablate", "report", str(study))
    return [
        f"{runs:,}", str(variants), f"{size / 1e9:.2f}", f"{1000 * written:.1f}", f"{read:.1f}", f"{first:.1f}",
        f"{again:.1f}", f"{changed:.1f}", f"{memory:.2f}", f"{again / first:.2f}", f"{report:.1f}",
        f"{report / read:.1f}", f"{report_memory:.2f}",
    ]  # fmt: skip


def timed(*command: str) -> tuple[float, float]:
    """Returns the seconds of a Python command, and its peak memory in GiB."""
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    return time.perf_counter() - started, usage.ru_maxrss / 2**20  # kibibytes on Linux


def write_again(study: Path, runs: int) -> float:
    """Writes the files of some runs as training does, and returns the seconds of a run."""
    folders = [path.parent for path in sorted(study.glob("*/*/run.json"))[:runs]]
    contents = [(RunDirectory(folder), RunDirectory(folder).read_epochs()) for folder in folders]
    records = [directory.read_record() for directory, _ in contents]
    started = time.perf_counter()
    for (directory, rows), record in zip(contents, records, strict=True):
        assert record is not None
        directory.write_epochs(rows)
        directory.write_record(record)
    return (time.perf_counter() - started) / max(1, runs)


def make_study(study: Path, runs: int, variants: int) -> None:
    """Writes run directories; those of a seed share a part of their accuracies, as real ones do."""
    rng = np.random.default_rng(0)
    seeds = -(-runs // variants)
    of_seed = rng.normal(0, 0.01, seeds)
    for number in range(runs):
        variant, seed = number % variants, number // variants
        accuracy = 0.6 - 0.2 / np.arange(1, EPOCHS + 1) + of_seed[seed] + rng.normal(0, 0.01, EPOCHS) - variant / 500
        rows = [
            {
                "epoch": epoch,
                "lr": 0.001,
                "train_loss": 2.2 - 2 * float(value),
                "train_accuracy": float(value),
                "test_loss": 2 - 2 * float(value),
                "test_accuracy": float(value),
                "train_seconds": 4.0 + float(rng.normal(0, 0.1)),
                "eval_seconds": 0.4,
                "data_seconds": 0.3,
                "images_per_second": 11_000.0,
            }
            for epoch, value in enumerate(accuracy, start=1)
        ]
        write_run(study, f"v{variant:03}", seed, rows)


def write_run(study: Path, variant: str, seed: int, rows: list[dict[str, float]]) -> None:
    edits = (
        {} if variant == "v000" else {f"edit_{variant}": {"insert": "after", "at": "c1", "layer": {"_target_": "x.Y"}}}
    )
    record = {
        "format": 1,
        "status": "complete",
        "id": f"{abs(hash((variant, seed))) % 2**32:08x}",
        "study": study.name,
        "variant": variant,
        "seed": seed,
        "config": {
            "seed": seed,
            "model": {"name": variant, "base": {"_target_": "ablate.models.lenet.lenet5"}, "edits": edits},
            "optimizer": {"_target_": "torch.optim.Adam", "lr": 0.001, "betas": [0.9, 0.999], "weight_decay": 0.005},
            "data": {"name": "cifar10", "subset": None, "validation": 0, "padding": 4, "flip": True},
            "train": {"epochs": EPOCHS, "batch_size": 128},
            "hardware": {"device": "auto", "threads": None, "precision": "fp32", "channels_last": True},
            "study": {"name": study.name, "baseline": "v000", "metric": "test_accuracy"},
        },
        "overrides": [f"model={variant}", f"seed={seed}"],
        "model": {"after": {"parameters": 62006, "flops": 1303440}},
        "data": {"name": "CIFAR-10", "sha256": "0" * 64, "images": {"train": 50000, "test": 10000}},
        "pairing": {"initial_weights": {"c1": str(seed), "c3": str(seed)}, "first_epoch_order": str(seed)},
        "provenance": {
            "code": {"commit": "0" * 40, "dirty": False, "changes": None},
            "packages": {"python": "3", "torch": "2"},
            "machine": {"host": "a", "system": "b", "cpu": "c", "cores": 2},
            "accelerator": "cpu",
            "threads": 2,
        },
        "started": "2026-01-01T00:00:00+00:00",
        "results": plain(summarise(rows)),
        "times": total_times(rows),
    }
    directory = RunDirectory(study / variant / f"seed{seed}-{record['id']}")
    directory.folder.mkdir(parents=True)
    # Not through RunDirectory's own writers, whose waiting for the disk is not what is measured.
    directory.record_file.write_text(json.dumps(record, indent=2))
    header = ",".join(rows[0])
    lines = (",".join(map(str, row.values())) for row in rows)
    directory.epochs_file.write_text("\n".join([header, *lines]) + "\n")


if __name__ == "__main__":
    main()
