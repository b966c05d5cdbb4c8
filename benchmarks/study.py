"""Times a sweep of LeNet-5 on CIFAR-10 one run after another, in processes, and in cohorts, each from its own command.

The seconds are those of the whole command, start of Python, checks and records included. The usual pipeline is measured
by `benchmarks/epoch.py`.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ablate import provenance

LAUNCHERS = {
    "one after another": [],
    "joblib, a process a core": ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hardware.threads=1"],
    "cohorts, a process a core": ["hydra/launcher=cohort"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=3, help="of each run (default: 3)")
    parser.add_argument("--seeds", type=int, default=2, help="of each variant (default: 2)")
    parser.add_argument("--models", default="plain,dropout,bn_dropout")
    parser.add_argument("overrides", nargs="*", help="Hydra overrides, such as hardware=cuda")
    options = parser.parse_args()
    machine = provenance.machine()
    what = f"{options.seeds} seeds of {options.models}, {options.epochs} epochs"
    print(f"{machine['cpu']}, {machine['cores']} cores; {what}\n")
    print("| launcher | seconds of the command | seconds a run and epoch | times as fast |")
    print("| --- | --- | --- | --- |")
    first = None
    for name, launcher in LAUNCHERS.items():
        with tempfile.TemporaryDirectory() as folder:
            command = [
                sys.executable, "-m", "ablate", "-m", f"model={options.models}", f"seed=range({options.seeds})",
                f"train.epochs={options.epochs}", f"hydra.sweep.dir={folder}", *launcher, *options.overrides,
            ]  # fmt: skip
            started = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            whole = time.perf_counter() - started
            epochs = sum(
                json.loads(path.read_text())["config"]["train"]["epochs"] for path in Path(folder).rglob("run.json")
            )
        seconds = whole / epochs
        first = first or seconds
        print(f"| {name} | {whole:.1f} | {seconds:.2f} | {first / seconds:.2f} |")


if __name__ == "__main__":
    main()
