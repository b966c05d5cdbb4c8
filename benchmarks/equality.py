"""Trains a sweep in cohorts and run by run, and compares the accuracies: are they statistically the same?

Pairs are runs of one variant and seed, which differ only by rounding. The same command resumes in its folder.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import ablate
from ablate import stats

LAUNCHERS = {"cohorts": ["hydra/launcher=cohort"], "singles": ["hydra/launcher=joblib"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="where the runs are, or go; a temporary one if left out")
    parser.add_argument("overrides", nargs="*", default=["train.epochs=10"], help="default: train.epochs=10")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        found = {}
        for name, launcher in LAUNCHERS.items():
            command = ["-m", "ablate", "-m", *options.overrides, *launcher, f"hydra.sweep.dir={folder / name}"]
            subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)
            found[name] = ablate.load_runs(folder / name).runs.set_index(["variant", "seed"])
    print("| metric | variant | cohorts: mean ± SD | single runs: mean ± SD |")
    print("| --- | --- | --- | --- |")
    for metric in ("test_accuracy", "test_loss"):
        for variant in found["singles"].index.unique("variant"):
            values = [runs.loc[variant][metric] for runs in found.values()]
            print(f"| {metric} | {variant} | " + " | ".join(f"{v.mean():.4f} ± {v.std():.4f}" for v in values) + " |")
    print("\n| metric | pairs | mean difference | 95 % interval | p of the t-test | exact p |")
    print("| --- | --- | --- | --- | --- | --- |")
    for metric in ("test_accuracy", "test_loss"):
        one, other = (runs[metric].sort_index() for runs in found.values())
        result = stats.compare(one.to_numpy(), other.to_numpy())
        bounds = f"{result.interval.low:+.4f} to {result.interval.high:+.4f}"
        print(f"| {metric} | {result.pairs} | {result.mean:+.4f} | {bounds} | {result.p_t:.2f} | "
              f"{result.p_sign_flip:.2f} |")  # fmt: skip


if __name__ == "__main__":
    main()
