"""What variants are compared with in a sweep over any keys."""

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from ablate.__main__ import run_command

Ablate = Callable[..., "CompletedProcess[str]"]
SWEEP = ("-m", "study=demo", "data.subset=20", "train.epochs=1", "train.batch_size=20", "seed=0,1,2")
pytestmark = pytest.mark.usefixtures("undrawn")


def page(study: Path, *options: str) -> str:
    assert run_command(["report", str(study), *options]) == 0
    return (study / "report" / "report.md").read_text()


def test_a_sweep_over_a_key_is_compared_with_the_configurations_own_value(ablate: Ablate, tmp_path: Path) -> None:
    done = ablate(*SWEEP, "model=plain", "optimizer.lr=1e-2,1e-3,1e-4")  # its own is 1e-3
    assert done.returncode == 0, done.stderr
    study = tmp_path / "outputs" / "demo"
    text = page(study)
    assert "plain (lr=0.01) against plain (lr=0.001)" in text and "plain (lr=0.0001) against plain (lr=0.001)" in text
    named = page(study, "--baseline", "plain (lr=0.01)")
    assert "plain (lr=0.0001) against plain (lr=0.01)" in named and "against plain (lr=0.001)" not in named


def test_a_sweep_without_the_configurations_own_value_says_which_variants_there_are(
    ablate: Ablate, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ablate(*SWEEP, "model=plain", "optimizer.lr=1e-2,1e-4").returncode == 0
    study = tmp_path / "outputs" / "demo"
    assert "The variants are plain (lr=0.0001) and plain (lr=0.01); \\`ablate report --baseline\\` takes one" in page(
        study
    )
    assert run_command(["report", str(study), "--baseline", "plain (lr=0.1)"]) == 2
    assert (
        "--baseline plain (lr=0.1): there is no such variant; did you mean plain (lr=0.01)" in capsys.readouterr().err
    )


def test_the_studys_own_baseline_comes_first(ablate: Ablate, tmp_path: Path) -> None:
    assert ablate(*SWEEP, "model=plain,bn", "study.baseline=bn").returncode == 0
    assert "plain against bn" in page(tmp_path / "outputs" / "demo")
