"""The package as others install it."""

import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from guides import to_the_letter
from warm import Server

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = ["pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run([sys.executable, "-m", *command], check=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_carries_the_configuration(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    options = {path.relative_to(ROOT / "conf").as_posix() for path in (ROOT / "conf").rglob("*.yaml")}
    assert {f"ablate/conf/{option}" for option in options} <= set(names)
    assert not [name for name in names if name.startswith(("tests", "outputs", "docs"))]


def test_the_source_distribution_leaves_out_what_was_run(tmp_path: Path) -> None:
    code = "import sys; from hatchling.build import build_sdist; print(build_sdist(sys.argv[1]))"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with tarfile.open(tmp_path / done.stdout.split()[-1]) as archive:
        folders = {Path(name).parts[1] for name in archive.getnames()}
    assert {"ablate", "conf", "tests", "pyproject.toml"} <= folders
    assert "outputs" not in folders


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel, and what it needs from that of the tests."""
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    paths = sysconfig.get_paths(vars={"base": str(folder), "platbase": str(folder)})
    (Path(paths["purelib"]) / "needs.pth").write_text(sysconfig.get_paths()["purelib"])
    install = ["pip", f"--python={python}", "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run([sys.executable, "-m", *install], check=True)
    return folder


def test_a_sweep_and_its_report_away_from_the_checkout(environment: Path, tmp_path: Path) -> None:
    def call(*command: str) -> str:
        done = subprocess.run(
            [environment / "bin" / command[0], *command[1:]],
            cwd=tmp_path,
            env={},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert str(environment) in call("python", "-c", "import ablate; print(ablate.__file__)")
    sweep = ("ablate", "-m", "study=demo", "data.subset=20", "train.epochs=1", "model=plain,dropout", "seed=0,1")
    assert "Launching 4 jobs" in call(*sweep)
    assert "4 complete runs of 2 variants" in call("ablate", "report")
    assert (tmp_path / "outputs" / "demo" / "report" / "report.md").is_file()


@pytest.fixture(scope="module")
def shims(environment: Path) -> Iterator[Path]:
    """`ablate` and `python` of that environment, which need not import torch each time."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with Server(str(environment / "bin" / "python"), {**env, "OMP_NUM_THREADS": "1"}) as server:
        yield server.shims(environment / "shims")


@pytest.fixture
def letter(environment: Path, shims: Path, tmp_path: Path) -> Callable[[str], list[str]]:
    """Runs a page's commands in an empty folder, with what is installed there first on the path."""
    path = f"{shims}:{environment / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {"PATH": path, "HOME": str(tmp_path), "OMP_NUM_THREADS": "1", "UNDRAWN": "1"}
    return lambda page: to_the_letter(page, tmp_path, env)


def test_the_tutorial_to_the_letter(letter: Callable[[str], list[str]], tmp_path: Path) -> None:
    _, tree, edited, plan, _, _, report, more = letter("tutorial.md")
    assert "~  conv1" in tree
    assert "+  drop " in edited
    assert "6 runs, 6 of them to train" in plan
    assert "6 complete runs of 3 variants" in report
    assert "9 complete runs of 3 variants" in more
    page = (tmp_path / "outputs" / "parts" / "report" / "report.md").read_text(encoding="utf-8")
    assert "The variants are a design, leave_one_out, of drop and gelu." in page


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        (
            "runs.md",
            [
                "multirun --variant model --seed seed --baseline plain --metric val/acc --metric val/loss",
                "The report is in recorded/report",
                "plain differs from wide",
                "12 complete runs of 2 variants",
                "wide  plain      6",
                "'runs/{variant}/seed{seed}/log.csv' --variant variant --seed seed",
                "12 runs says its seed",
            ],
        ),
        ("models.md", ["norm_relu1", "2 complete runs of 2 variants"]),
        ("data.md", ["2 complete runs of 2 variants"]),
        (
            "metrics.md",
            [
                "4 complete runs of 2 variants",
                "test accuracy",
                "Supported: Dropout adds no parameters.",
                "test accuracy, mean of the last 5 epochs",
            ],
        ),
        ("trackers.md", ["The report was sent to tensorboard and mlflow.", "wide does not differ clearly from plain"]),
        ("tasks.md", ["24 runs, 24 of them to train.", "24 complete runs of 4 variants"]),
        ("reliability.md", ["identical"]),
        ("report.md", ["Something is refuted or missing.", "6 complete runs of 2 variants", "dropout"]),
        ("agents.md", ["{'complete': 4}"]),
        ("store.md", ["6 complete runs of 3 variants"]),
    ],
)
def test_a_guide_to_the_letter(page: str, expected: list[str], letter: Callable[[str], list[str]]) -> None:
    for words, block in zip(expected, letter(page), strict=True):
        assert words in block
