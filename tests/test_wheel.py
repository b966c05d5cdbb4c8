"""The package as others install it."""

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

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


def test_a_sweep_and_its_report_away_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    python = environment / "bin" / "python"
    # What ablate needs comes from the environment of the tests, ablate itself from the wheel alone.
    paths = sysconfig.get_paths(vars={"base": str(environment), "platbase": str(environment)})
    (Path(paths["purelib"]) / "needs.pth").write_text(sysconfig.get_paths()["purelib"])
    install = ["pip", f"--python={python}", "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run([sys.executable, "-m", *install], check=True)
    empty = tmp_path / "empty"
    empty.mkdir()

    def call(*command: str) -> str:
        done = subprocess.run(
            [environment / "bin" / command[0], *command[1:]],
            cwd=empty,
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
    assert "4 complete runs of 2 variants" in call("ablate-report")
    assert (empty / "outputs" / "demo" / "report" / "report.md").is_file()
