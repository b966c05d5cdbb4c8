"""A CSV file from another tool."""

import json
import re
from pathlib import Path

import pytest
from scipy import stats

from ablate.__main__ import run_command

ROWS = [
    "method,fold,score,hours",
    *(f"ours,{fold},{0.8 + number / 100},{2 + number}" for number, fold in enumerate("abcd")),
    *(f"theirs,{fold},{0.7 + number / 50},{1 + number}" for number, fold in enumerate("abcd")),
    "third,a,0.5,1",
]
ARGUMENTS = ["--variant", "method", "--seed", "fold", "--metric", "score", "--baseline", "theirs"]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    file = tmp_path / "results.csv"
    file.write_text("\n".join(ROWS) + "\n")
    return file


def test_it_is_compared_like_run_directories(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["report", str(table), *ARGUMENTS, "--metric", "hours"]) == 0
    out = table.parent / "results-report"
    results = json.loads((out / "results.json").read_text())
    row = next(row for row in results["comparisons"] if (row["first"], row["metric"]) == ("ours", "score"))
    expected = stats.ttest_rel([0.8, 0.81, 0.82, 0.83], [0.7, 0.72, 0.74, 0.76])
    assert row["p_t"] == pytest.approx(expected.pvalue)
    assert (row["second"], row["pairs"], row["mean"]) == ("theirs", 4, pytest.approx(0.085))
    assert row["runs"] == "row 2 row 6 row 3 row 7 row 4 row 8 row 5 row 9"
    assert {"index.html", "report.md", "paired_differences.svg", "metric_score.tex"} <= {
        path.name for path in out.iterdir()
    }
    assert "| ours against theirs" in (out / "report.md").read_text()
    assert "The report is in" in capsys.readouterr().out


def test_claims_about_it_are_judged(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = tmp_path / "claims.yaml"
    study.write_text("study:\n  claims: [{id: c, statement: Ours is worse., expect: ours < theirs}]\n")
    assert run_command(["report", str(table), *ARGUMENTS, "--study", str(study), "--check"]) == 1
    assert "refuted: c: Ours is worse." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["--variant", "methode"], "--variant methode: .* has no such column; did you mean method"),
        (["--seed", "sead"], "--seed sead: .* choose from method, fold, score, hours"),
        (["--metric", "scores"], "--metric scores: .* did you mean score"),
        (["--metric", "method"], "--metric method: its column in .* has no numbers"),
        (["--baseline", "their"], "--baseline their: .* has no such method; did you mean theirs"),
        (["--seed", "method"], "ours has method ours more than once"),
    ],
)
def test_what_is_not_in_it_is_named(
    changes: list[str], message: str, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["report", str(table), *ARGUMENTS, *changes]) == 2
    error = capsys.readouterr().err
    assert re.search(message, error), error
    assert not (table.parent / "results-report").exists()


def test_a_metric_has_to_be_chosen(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["report", str(table), "--variant", "method", "--seed", "fold"]) == 2
    assert "say which column to compare with --metric" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"one\n"])
def test_what_is_no_table_is_refused(content: bytes, table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table.write_bytes(content)
    assert run_command(["report", str(table), *ARGUMENTS]) == 2
    assert str(table) in capsys.readouterr().err


def test_options_of_a_csv_file_are_refused_for_run_directories(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["report", str(tmp_path), "--baseline", "plain"]) == 2
    assert "--baseline is for a CSV file" in capsys.readouterr().err
