"""Times a report over many run directories, and its peak memory.

Run directories are made first, of 50 epochs each, as training writes them; the report runs in a process of its own.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from ablate.records import RunDirectory, summarise, total_times

EPOCHS = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--variants", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        study = Path(folder) / "many"
        started = time.perf_counter()
        make_study(study, options.runs, options.variants)
        print(f"{options.runs} run directories of {EPOCHS} epochs, {options.variants} variants: made in "
              f"{time.perf_counter() - started:.1f} s")  # fmt: skip
        read = time.perf_counter()
        for path in study.rglob("*.*"):
            path.is_file() and path.read_bytes()
        read = time.perf_counter() - read
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "ablate.report", str(study)], check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20  # kibibytes on Linux
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"report: {seconds:.1f} s, peak memory {peak:.2f} GiB; reading the bytes alone: {read:.1f} s, "
          f"ratio {seconds / read:.1f}")  # fmt: skip


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
        write_run(study, f"v{variant:02}", seed, rows)


def write_run(study: Path, variant: str, seed: int, rows: list[dict[str, float]]) -> None:
    edits = (
        {} if variant == "v00" else {f"edit_{variant}": {"insert": "after", "at": "c1", "layer": {"_target_": "x.Y"}}}
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
            "study": {"name": study.name, "baseline": "v00", "metric": "test_accuracy"},
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
        "results": summarise(rows),
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
