"""Measures what dropout and batch norm cost in time at each place of LeNet-5, and how well that repeats.

Each measurement is made twice, by two commands, and has among its variants one that differs from plain by nothing.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from ablate.commands.timing import show

PLACES = "plain,dropout_relu1,dropout,dropout_relu5,dropout_relu6,bn,bn_c3,bn_c5"
# Dropout at rate 0 is refused as an edit that changes nothing; a learning rate changes no step's time.
NOTHING = ["model=plain", "optimizer.lr=1e-3,1.1e-3"]


def measured(arguments: list[str], folder: Path) -> dict:
    command = [sys.executable, "-m", "ablate", "timing", *arguments]
    subprocess.run(command, check=False, cwd=folder, stdout=subprocess.DEVNULL)
    newest = max(folder.rglob("timing/*.json"), key=lambda path: path.stat().st_mtime)
    return json.loads(newest.read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default=PLACES)
    parser.add_argument("--precision", default="0.005")
    parser.add_argument("--rounds", default="250")
    parser.add_argument("overrides", nargs="*", default=["hardware.threads=1"], help="default: hardware.threads=1")
    options = parser.parse_args()
    limits = [f"--precision={options.precision}", f"--rounds={options.rounds}"]
    with tempfile.TemporaryDirectory() as folder:
        first, second = (
            measured([f"model={options.models}", *options.overrides, *limits], Path(folder)) for _ in range(2)
        )
        nothing = measured([*NOTHING, *options.overrides, *limits, "--no-layers"], Path(folder))
    print(show(first))
    print("\n| training time / plain | once | again | inside each other's interval |")
    print("| --- | --- | --- | --- |")
    for one, other in zip(first["variants"], second["variants"], strict=True):
        if one["ratio"] is not None:
            (a, a_low, a_high), (b, b_low, b_high) = (each["ratio"]["train_seconds"] for each in (one, other))
            inside = "yes" if a_low <= b <= a_high or b_low <= a <= b_high else "no"
            print(f"| {one['name']} | {a:.3f} ({a_low:.3f} to {a_high:.3f}) | {b:.3f} ({b_low:.3f} to {b_high:.3f}) "
                  f"| {inside} |")  # fmt: skip
    ratio, low, high = nothing["variants"][1]["ratio"]["train_seconds"]
    print(f"| another learning rate, which is nothing | {ratio:.4f} ({low:.4f} to {high:.4f}) | – | – |")


if __name__ == "__main__":
    main()
