"""Times a sweep of LeNet-5 on CIFAR-10 by launcher against the usual pipeline, and how a cohort's step grows.

The sweeps are whole commands: start of Python, checks and records included. Few epochs are run; what 50 would take is
extrapolated from the time of an epoch and marked so. The usual pipeline is that of `benchmarks/epoch.py`.
"""

import argparse
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import torch
from epoch import seconds, usual_epochs
from torch.utils.flop_counter import FlopCounterMode

from ablate.config.compose import compose
from ablate.config.schema import Config
from ablate.records import provenance
from ablate.runs.prepare import assemble, prepare
from ablate.training.hardware import configured, keep_memory

LAUNCHERS = {
    "one after another": ["hydra/launcher=basic"],
    "joblib, a process a core": ["hydra/launcher=joblib", f"hydra.launcher.n_jobs={os.cpu_count()}"],
    "cohorts": ["hydra/launcher=cohort"],
}
FULL_EPOCHS = 50
COHORTS = (1, 2, 4, 8, 16, 32)


def sweep(options: argparse.Namespace, launcher: list[str], epochs: int) -> tuple[float, float]:
    """Returns the seconds of a sweep's command, and the most memory of its processes together, in GiB."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable, "-m", "ablate", "-m", f"model={options.models}", f"seed=range({options.seeds})",
            f"train.epochs={epochs}", f"hydra.sweep.dir={folder}", *launcher, *options.overrides,
        ]  # fmt: skip
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
        most = [0.0]
        watcher = threading.Thread(target=watch, args=(process.pid, most), daemon=True)
        watcher.start()
        _, said = process.communicate()
        if process.returncode != 0:
            raise SystemExit(said.decode())
        return time.perf_counter() - started, most[0]


def watch(session: int, most: list[float]) -> None:
    """Keeps the largest sum of proportional set sizes of a session's processes, in GiB: shared pages count once."""
    while Path(f"/proc/{session}").exists():
        total = 0
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if os.getsid(int(folder.name)) == session:
                    lines = (folder / "smaps_rollup").read_text().splitlines()
                    total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
            except (OSError, StopIteration):
                continue
        most[0] = max(most[0], total / 2**20)
        time.sleep(0.3)


def step_time(training: Any, steps: int) -> float:
    """Returns the median seconds of a step."""
    step, batches = training.step, training.batches
    drawn = [source.epoch(0) for source in batches]
    size = batches[0].batch_size
    found = []
    step.cohort.train(True)
    with step.cohort.noise(0):
        for number in range(steps + 5):
            part = slice(number * size, (number + 1) * size)
            images = [each[part] for each, _ in drawn]
            labels = [each[part] for _, each in drawn]
            if step.cohort.device.type == "cuda":
                torch.cuda.synchronize()
            start = time.perf_counter()
            step(images, labels)
            if step.cohort.device.type == "cuda":
                torch.cuda.synchronize()
            found.append(time.perf_counter() - start)
    return statistics.median(found[5:])


def matmul_peak(device: torch.device) -> float:
    """Returns the FLOP/s of large fp32 matrix products, with the threads of this process."""
    a = torch.randn(2048, 2048, device=device)
    found = []
    for _ in range(6):
        start = time.perf_counter()
        a @ a
        if device.type == "cuda":
            torch.cuda.synchronize()
        found.append(time.perf_counter() - start)
    return 2 * 2048**3 / min(found)


def training_flops(cfg: Config) -> int:
    """Returns the FLOPs of a step's matrix products and convolutions, forward and backward, of one run."""
    training = assemble(cfg, [prepare(cfg)], [cfg.seed])
    images, labels = training.batches[0].epoch(0)
    size = cfg.train.batch_size
    with FlopCounterMode(display=False) as counter:
        training.step([images[:size]], [labels[:size]])
    return int(counter.get_total_flops())


def measure_cohorts(cohorts: list[list[Config]], threads: int, steps: int, barrier: Any, answers: Any) -> None:
    """Measures cohorts in one of several processes that do the same at the same time."""
    keep_memory()
    if threads:
        torch.set_num_threads(threads)
    with configured(cohorts[0][0].hardware) as device:
        rows = []
        for cfgs in cohorts:
            runs = [prepare(cfg, rewrite=len(cfgs) == 1) for cfg in cfgs]
            training = assemble(cfgs[0], runs, [cfg.seed for cfg in cfgs])
            barrier.wait()
            took = step_time(training, steps)
            barrier.wait()
            rows.append((took, matmul_peak(device), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20))
    answers.put(rows)


def growth(options: argparse.Namespace) -> None:
    """Prints how the time of a cohort's step grows with its members, in as many processes as the launcher takes."""
    hardware = [item for item in options.overrides if item.startswith("hardware")]
    rates = [[f"model=dropout model.edits.drop3.layer.p={number / 64}" for number in range(1, size + 1)]
             for size in COHORTS]  # fmt: skip
    named = {f"{len(one)} rates of dropout": one for one in rates}
    named[options.models] = [f"model={model}" for model in options.models.split(",")]
    cohorts = [[compose([*one.split(), *hardware]) for one in cohort] for cohort in named.values()]
    processes = 1 if torch.cuda.is_available() else os.cpu_count() or 1
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(processes), context.Queue()
    workers = [
        context.Process(
            target=measure_cohorts, args=(cohorts, 0 if processes == 1 else 1, options.steps, barrier, answers)
        )
        for _ in range(processes)
    ]
    for worker in workers:
        worker.start()
    found = [answers.get() for _ in workers]
    flops = [sum(training_flops(cfg) for cfg in cohort) for cohort in cohorts]
    print(f"\nA cohort's training step, {processes} processes at the same time, one thread each; medians:\n")
    print("| cohort | ms a step | ms a run | times one run | members / times | share of matmul peak | GiB a process |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    alone = statistics.mean(rows[0][0] for rows in found)
    for number, name in enumerate(named):
        took, peak, memory = (statistics.mean(rows[number][kind] for rows in found) for kind in range(3))
        size = len(cohorts[number])
        share = flops[number] / took / peak
        print(
            f"| {name} | {1000 * took:.1f} | {1000 * took / size:.2f} | {took / alone:.2f} | "
            f"{size * alone / took:.2f} | {share:.0%} | {memory:.2f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=3, help="of each run (default: 3)")
    parser.add_argument("--seeds", type=int, default=3, help="of each variant (default: 3)")
    parser.add_argument("--models", default="plain,dropout,bn_dropout")
    parser.add_argument("--steps", type=int, default=30, help="of each cohort whose growth is measured (default: 30)")
    parser.add_argument("overrides", nargs="*", help="Hydra overrides, such as hardware=cuda")
    options = parser.parse_args()
    machine = provenance.machine()
    runs = options.seeds * len(options.models.split(","))
    print(f"{machine.cpu}, {machine.cores} cores, torch {torch.__version__}; {options.seeds} seeds of ", end="")
    print(f"{options.models}, {options.epochs} epochs\n")

    hardware = [item for item in options.overrides if item.startswith("hardware")]
    with configured(compose(hardware).hardware) as device:
        usual = usual_epochs(2, device, "fp32")
        next(usual)
        usual_seconds = statistics.median(seconds(usual, device) for _ in range(3))
        usual.close()
    print(f"| launcher | seconds of the command | GiB | seconds a run and epoch | usual / it | {FULL_EPOCHS} epochs |")
    print("| --- | --- | --- | --- | --- | --- |")
    print(f"| usual pipeline, 2 workers | – | – | {usual_seconds:.2f} | 1 | "
          f"{usual_seconds * runs * FULL_EPOCHS / 60:.0f} min, extrapolated |")  # fmt: skip
    for name, launcher in LAUNCHERS.items():
        once, _ = sweep(options, launcher, 1)
        whole, memory = sweep(options, launcher, options.epochs)
        one_epoch = (whole - once) / (options.epochs - 1)
        full = (once + (FULL_EPOCHS - 1) * one_epoch) / 60
        ratio = usual_seconds * runs / one_epoch
        row = f"| {name} | {whole:.1f} | {memory:.1f} | {one_epoch / runs:.2f} | {ratio:.2f} | {full:.1f} min, "
        print(f"{row}extrapolated |", flush=True)
    growth(options)


if __name__ == "__main__":
    main()
