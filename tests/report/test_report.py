"""The report as a whole, from run directories to files."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest
from PIL import Image

from ablate.report.cli import main, write_report
from ablate.report.figures import colours

Make = Callable[..., Path]
FILES = ["accuracy.csv", "runs.csv", "time.csv", "report.md"] + [
    f"{figure}.{kind}" for figure in ("learning_curves", "accuracy_against_time") for kind in ("png", "svg")
]


@pytest.fixture
def six_runs(make_run: Make, study: Path) -> Path:
    for seed in range(3):
        make_run("plain", seed, (0.5, 0.7, 0.60 + seed / 50))
        make_run("bn", seed, (0.4, 0.6, 0.55 + seed / 50), edits={"bn1": {}})
    return study


def test_the_report_is_written(six_runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(six_runs)])
    out = six_runs / "report"
    assert sorted(path.name for path in out.iterdir()) == sorted(FILES)
    page = (out / "report.md").read_text()
    assert page.startswith("# A trial\n\n6 complete runs of 2 variants; seeds 0, 1, 2.\n")
    assert "| plain     | final epoch  |      3 | 62.00 % | 2.00 % | 60.00 % | 64.00 % |     75.00 % |" in page
    assert "| plain     | total      |      3 |  13.50 | 3.00 | 10.50 | 16.50 |      100.00 |" in page
    assert "They are after 50 epochs; these runs have 3." in page
    assert "which flatters it" in page
    assert "All runs agree in data, code" in page
    assert pd.read_csv(out / "accuracy.csv").shape == (6, 9)
    for figure in ("learning_curves", "accuracy_against_time"):
        with Image.open(out / f"{figure}.png") as picture:
            assert len(picture.convert("RGB").getcolors(10**6)) > 10
        texts = {
            "".join(node.itertext()) for node in ElementTree.parse(out / f"{figure}.svg").iter() if "text" in node.tag
        }
        assert {"plain", "bn"} <= texts
    assert "The report is in" in capsys.readouterr().out


def test_the_same_runs_give_the_same_bytes(six_runs: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy" / "trial"
    for path in sorted(six_runs.glob("*/*"), reverse=True):
        shutil.copytree(path, copy / path.relative_to(six_runs))
    code = "import sys, pathlib; from ablate.report.cli import write_report; write_report(pathlib.Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", code, str(copy)], check=True, env={"PYTHONHASHSEED": "7"}, cwd=Path.cwd())
    write_report(six_runs)
    for name in FILES:
        assert (six_runs / "report" / name).read_bytes() == (copy / "report" / name).read_bytes(), name


def test_what_is_left_out_is_named(six_runs: Path, make_run: Make) -> None:
    make_run("plain", 3, status="interrupted")
    (make_run("plain", 4, folder="seed4-torn") / "run.json").write_text("{")
    page = write_report(six_runs).read_text()
    assert "Left out, and named at the end: 2 runs." in page
    assert "- `plain/seed4-torn`: run.json is not JSON" in page
    assert ": interrupted" in page


def test_one_seed_is_warned_of(make_run: Make, study: Path) -> None:
    make_run("plain", 0)
    page = write_report(study).read_text()
    assert "1 complete run of 1 variant; seed 0. One seed says nothing about the spread" in page
    assert "| plain     | final epoch  |      1 | 60.00 % |    – |" in page


def test_mismatches_are_told(make_run: Make, study: Path) -> None:
    make_run("plain", 0)
    make_run("plain", 1, record={"data": {"name": "digits", "sha256": "e" * 64, "images": {}}})
    assert "**Mismatch:** The runs have 2 different values of: data." in write_report(study).read_text()


@pytest.mark.parametrize(("folder", "message"), [("nowhere", "no such folder"), (".", "there are no runs in it")])
def test_folders_without_runs_are_refused(
    folder: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="1"):
        main([folder])
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_usage_errors(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["one", "two"])
    assert "usage: ablate-report" in capsys.readouterr().err


def test_a_variant_keeps_its_colour() -> None:
    names = [f"variant {number}" for number in range(8)]
    palette = colours(names)
    assert list(palette) == names
    assert len(set(palette.values())) == 6
