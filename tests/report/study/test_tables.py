"""A table of another tool's runs, reported in one command."""

import json
import re
from collections.abc import Callable
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
pytestmark = pytest.mark.usefixtures("undrawn")


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
        (["--baseline", "their"], "--baseline their: there is no such variant; did you mean theirs"),
        (["--seed", "method"], "row 2 and row 3 are both ours with method ours"),
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
    table.write_text("method,fold,score\nours,1,0.5\ntheirs,1,0.6\n")
    assert run_command(["report", str(table), "--seed", "fold"]) == 0, "there is but one"
    table.write_text("\n".join(ROWS))
    assert run_command(["report", str(table), "--variant", "method", "--seed", "fold"]) == 2
    assert "--metric: say which to compare; choose from hours, score" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"one\n"])
def test_what_is_no_table_is_refused(content: bytes, table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table.write_bytes(content)
    assert run_command(["report", str(table), *ARGUMENTS]) == 2
    assert str(table) in capsys.readouterr().err


def test_options_for_runs_of_others_are_refused_for_run_directories(
    make_run: Callable[..., Path], study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run()
    assert run_command(["report", str(study), "--metric", "accuracy"]) == 2
    assert "--metric is for runs of other projects" in capsys.readouterr().err


def comparisons(file: Path) -> dict[tuple[str, str, str], float]:
    rows = json.loads((file.with_name(f"{file.stem}-report") / "results.json").read_text())["comparisons"]
    return {(row["metric"], row["first"], row["second"]): row["mean"] for row in rows}


@pytest.mark.parametrize("label", ["None", "0.10", "001", "true", "nan", "NA", "1e5", "2026-01-01", "null"])
def test_labels_are_texts_as_they_stand(label: str, tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("variant,seed,acc\n" + "".join(f"{label},{s},0.6\nbase,{s},0.5\n" for s in range(3)))
    assert run_command(["report", str(file), "--metric", "acc", "--baseline", label]) == 0
    assert comparisons(file) == {("acc", "base", label): pytest.approx(-0.1)}


def test_seeds_that_look_alike_are_two(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("variant,seed,acc\nplain,1,0.5\nplain,001,0.6\nbn,1,0.6\nbn,001,0.9\n")
    assert run_command(["report", str(file), "--metric", "acc"]) == 0
    assert comparisons(file) == {("acc", "bn", "plain"): pytest.approx(0.2)}


@pytest.mark.parametrize("name", ["val/acc", "val.acc", "val acc", "µ/acc"])
def test_a_metric_with_signs_in_its_name_is_reported_whole(name: str, tmp_path: Path) -> None:
    file, claims = tmp_path / "t.csv", tmp_path / "claims.yaml"
    file.write_text(f"variant,seed,{name},other\n" + "".join(f"{v},{s},0.{s + 5},1\n" for v in "ab" for s in range(3)))
    claims.write_text(
        f"study:\n  claims: [{{id: c, statement: S., expect: a > b, metric: {name}}}]\n  metric: '{name}'\n"
    )
    asked = ["report", str(file), "--baseline", "a", "--study", str(claims)]
    assert run_command(asked) == 0
    assert run_command([*asked, "--metric", name, "--metric", "other"]) == 0
    ours = re.sub(r"\W", "_", name)
    assert {metric for metric, *_ in comparisons(file)} == {ours, "other"}
    assert {f"metric_{ours}.csv", f"metric_{ours}.tex"} <= {path.name for path in (tmp_path / "t-report").iterdir()}


@pytest.mark.parametrize("name", ["seed", "epoch", "clock", "run", "variant", "parameters"])
def test_a_metric_called_like_a_column_of_ours_gets_another_name(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "t.csv"
    file.write_text(
        f"arm,fold,{name}\n" + "".join(f"{v},{s},{i * s + 5}\n" for i, v in enumerate("ab") for s in range(3))
    )
    asked = ["report", str(file), "--variant", "arm", "--seed", "fold", "--baseline", "a"]
    assert run_command([*asked, "--metric", name]) == 2
    assert f"--metric {name}: give it a name" in (said := capsys.readouterr().err) and f"={name}" in said
    assert run_command([*asked, "--metric", f"score={name}"]) == 0
    assert comparisons(file) == {("score", "b", "a"): pytest.approx(1)}


def test_a_run_without_a_value_is_named(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("variant,seed,acc\nplain,0,0.5\nplain,1,0.6\nbn,0,0.6\nbn,1,\n")
    assert run_command(["report", str(file), "--metric", "acc"]) == 0
    assert "- row 5: failed: never logged acc" in (tmp_path / "t-report" / "report.md").read_text()


def test_a_variant_that_looks_like_a_number_is_a_variant_in_a_claim(tmp_path: Path) -> None:
    file, claims = tmp_path / "t.csv", tmp_path / "claims.yaml"
    file.write_text("variant,seed,acc\n" + "".join(f"0.10,{s},0.6{s}\nbase,{s},0.5\n" for s in range(3)))
    claims.write_text("study:\n  baseline: base\n  claims: [{id: c, statement: S., expect: 0.10 > base}]\n")
    assert run_command(["report", str(file), "--metric", "acc", "--study", str(claims), "--check"]) == 0
    assert ("acc", "0.10", "base") in comparisons(file)
    claims.write_text("study:\n  baseline: base\n  published: {variants: {0.10: {acc: 0.7}}}\n")
    assert run_command(["report", str(file), "--metric", "acc", "--study", str(claims)]) == 2


def test_published_figures_are_held_against_a_table_whatever_their_epochs(table: Path, tmp_path: Path) -> None:
    study = tmp_path / "claims.yaml"
    study.write_text("study:\n  published: {source: A paper., epochs: 50, variants: {ours: {score: 0.81}}}\n")
    assert run_command(["report", str(table), *ARGUMENTS, "--study", str(study)]) == 0
    page = (table.parent / "results-report" / "report.md").read_text()
    assert "Is the published figure what one more run would give?" in page
    assert "epochs" not in page.split("## How it was computed")[0]
