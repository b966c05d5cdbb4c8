"""What makes a run stale: a change of what computes, and no other."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of ablate's sources."""
    ignored = shutil.ignore_patterns("__pycache__")
    return Path(shutil.copytree(ROOT / "ablate", tmp_path / "ablate", ignore=ignored))


def digests(package: Path) -> list[str]:
    """The digest that makes a run stale, and the one that machines of a sweep agree in."""
    code = "from ablate.records import provenance as p; print(p.collect().code.sources['ablate'], p.code_digest())"
    environment = {**os.environ, "PYTHONPATH": str(package.parent)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=package.parent, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_a_run_is_stale_by_what_computes(package: Path) -> None:
    of_results, of_all = digests(package)
    for name in ("report/cli.py", "report/output/figures.py"):
        with (package / name).open("a") as file:
            file.write("# changed\n")
    assert digests(package) == [of_results, of_all]
    for name in ("commands/status.py", "sweeps/plan.py", "records/store.py", "trackers/base.py", "messages.py"):
        with (package / name).open("a") as file:
            file.write("# changed\n")
    unchanged, other = digests(package)
    assert unchanged == of_results and other != of_all
    known = {of_results}
    for name in ("config/schema.py", "models/lenet.py", "stacking/layers.py", "data/batches.py", "training/step.py",
                 "runs/run.py", "seeding.py"):  # fmt: skip
        with (package / name).open("a") as file:
            file.write("# changed\n")
        now = digests(package)[0]
        assert now not in known, name
        known.add(now)
