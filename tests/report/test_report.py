"""The report as a whole, from run directories to files."""

import contextlib
import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from ablate import load_runs
from ablate.__main__ import run_command
from ablate.report.output import figures
from ablate.report.output.figures import colours

Make = Callable[..., Path]
text_only = pytest.mark.usefixtures("undrawn")
SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "results.schema.json").read_text())
FIGURES = ("accuracy_against_time", "claims", "effects", "learning_curves", "paired_differences", "times")
EDITS = {"plain": {}, "bn": {"bn1": {}}, "dropout": {"drop3": {}}, "bn_dropout": {"bn1": {}, "drop3": {}}}
FINAL = {"plain": 0.60, "bn": 0.64, "dropout": 0.50, "bn_dropout": 0.53}
CLAIMS = [
    {"id": "one", "statement": "Plain beats dropout.", "expect": "plain > dropout", "published": {"plain": 0.63}},
    {"id": "two", "statement": "Dropout beats plain.", "expect": "dropout > plain"},
    {"id": "three", "statement": "Batch norm makes no difference.", "expect": "bn = plain within 0.001"},
    {"id": "four", "statement": "A lower rate costs less.", "expect": "dropout_p10 > dropout"},
]  # fmt: skip


def write_factorial(make_run: Make) -> None:
    """Writes twelve runs of a 2x2 factorial, and claims about them."""
    for variant, final in FINAL.items():
        for seed in range(3):
            noise = seed / 50 + (seed == 1) * len(EDITS[variant]) / 200
            make_run(variant, seed, (0.3, 0.66, final + noise), edits=EDITS[variant], study={"claims": CLAIMS})


@pytest.fixture
def factorial(make_run: Make, study: Path) -> Path:
    write_factorial(make_run)
    return study


@pytest.fixture(scope="module")
def drawn(writer: Callable[[Path], Make], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The study with its report, figures and all, for tests that read it; and what the command printed."""
    study, printed = tmp_path_factory.mktemp("drawn") / "trial", io.StringIO()
    write_factorial(writer(study))
    with contextlib.redirect_stdout(printed):
        assert run_command(["report", str(study)]) == 0
    return study, printed.getvalue()


def report(folder: Path) -> str:
    assert run_command(["report", str(folder)]) == 0
    return (folder / "report" / "report.md").read_text()


def test_every_file_of_the_report_is_written(drawn: tuple[Path, str]) -> None:
    factorial, printed = drawn
    out = factorial / "report"
    names = {path.name for path in out.iterdir()}
    assert {"index.html", "report.md", "results.json", "runs.csv", "accuracy.csv", "time.csv"} <= names
    assert {"comparisons.csv", "claims.csv", "effects.csv", "cells.csv", "claims.tex"} <= names
    assert {f"{figure}.{kind}" for figure in FIGURES for kind in ("pdf", "png", "svg")} <= names
    for figure in FIGURES:
        with Image.open(out / f"{figure}.png") as picture:
            assert len(picture.convert("RGB").getcolors(10**6)) > 10
    svg = ElementTree.parse(out / "learning_curves.svg")
    texts = {"".join(node.itertext()) for node in svg.iter() if "text" in node.tag}
    assert {*FINAL, "test accuracy"} <= texts
    assert "- Supported on 3 seeds (rests on normality; 6 could confirm it exactly): Plain beats dropout." in printed
    assert f"The report is in {out}: open index.html, or read report.md." in printed


@text_only
def test_the_page_says_what_held(factorial: Path) -> None:
    page = report(factorial)
    assert page.startswith("# A trial\n\n12 complete runs of 4 variants; seeds 0, 1 and 2; 3 epochs each.\n")
    # Mean 0.625 and 0.525: 0, 0.02 and 0.04 of the seeds, and 0.005 of one dropout run.
    few = "on 3 seeds (rests on normality; 6 could confirm it exactly)"
    assert f"- **Supported {few}:** Plain beats dropout. (plain \\> dropout: +9.83 pp, 95 % interval" in page
    assert f"- **Refuted {few}:** Dropout beats plain." in page
    assert f"- **Refuted {few}:** Batch norm makes no difference." in page
    assert "Judged for one look: nothing is recorded of how often they were looked at" in page
    assert "- **Untested:** A lower rate costs less. (there are no runs of dropout\\_p10)" in page.replace("_p", "\\_p")
    assert "python -m ablate -m study=trial model=dropout_p10,dropout seed=0,1,2" in page
    assert "| plain      | final epoch  |      3 | 62.00 % |" in page
    assert "After" not in page.split("## Variants")[0]
    assert "They are after 50 epochs; these runs have 3, so they are not held against each other." in page
    assert "which flatters it" in page
    assert "| bn1 × drop3" in page
    assert "All runs agree in data, code" in page


@text_only
def test_results_are_what_the_schema_says(factorial: Path) -> None:
    report(factorial)
    results = json.loads((factorial / "report" / "results.json").read_text())
    jsonschema.validate(results, SCHEMA)
    assert [claim["verdict"] for claim in results["claims"]][:2] == ["supported", "refuted"]
    row = next(row for row in results["comparisons"] if (row["first"], row["metric"]) == ("dropout", "test_accuracy"))
    assert row["mean"] == pytest.approx(-0.1 + 0.005 / 3)
    assert len(results["effects"]) == 2 * 3
    assert results["cells"][0] == {"variant": "plain", "seed": 0, "status": "complete", "why": ""}


@text_only
def test_every_number_leads_to_its_run_directories(factorial: Path) -> None:
    report(factorial)
    comparisons = pd.read_csv(factorial / "report" / "comparisons.csv")
    for row in comparisons.itertuples():
        runs = row.runs.split()
        assert len(runs) == 2 * row.pairs
        assert all((factorial / run / "run.json").is_file() for run in runs)
    accuracy = pd.read_csv(factorial / "report" / "accuracy.csv")
    assert set(accuracy["seeds"]) == {"0 1 2"}


@text_only
def test_tables_in_latex_have_the_rules_of_booktabs(factorial: Path) -> None:
    report(factorial)
    table = (factorial / "report" / "claims.tex").read_text()
    assert table.count(r"\toprule") == table.count(r"\midrule") == table.count(r"\bottomrule") == 1
    assert r"dropout\_p10 $>$ dropout" in table


class Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_page_needs_no_other_file(drawn: tuple[Path, str]) -> None:
    parser = Links()
    page = (drawn[0] / "report" / "index.html").read_text()
    parser.feed(page)
    addresses = [attrs[key] for _, attrs in parser.tags for key in ("src", "srcset", "href") if attrs.get(key)]
    assert len(addresses) > 12
    assert all(address is not None and address.startswith(("data:", "#")) for address in addresses)
    pictures = [attrs["alt"] for tag, attrs in parser.tags if tag == "img"]
    assert pictures == []
    drawn = [attrs["aria-label"] for tag, attrs in parser.tags if tag == "div" and attrs.get("role") == "img"]
    assert len(drawn) == len(FIGURES)
    assert all(drawn)
    assert len(page.encode()) < 500_000


def test_the_same_runs_give_the_same_bytes(drawn: tuple[Path, str], tmp_path: Path) -> None:
    factorial, copy = drawn[0], tmp_path / "copy" / "other"
    runs = [path.parent for path in factorial.glob("*/*/run.json")]
    assert len(runs) == 12
    for number, path in enumerate(sorted(runs, reverse=True)):
        shutil.copytree(path, copy / "renamed" / f"{number:02}")
    code = "import sys; from ablate.report.cli import main; sys.exit(main(sys.argv[1:]))"
    subprocess.run([sys.executable, "-c", code, str(copy)], check=True, env={"PYTHONHASHSEED": "7"}, cwd=Path.cwd())
    files = sorted(path.name for path in (factorial / "report").iterdir())
    assert files == sorted(path.name for path in (copy / "report").iterdir())
    for name in files:
        assert (factorial / "report" / name).read_bytes() == (copy / "report" / name).read_bytes(), name


@text_only
@pytest.mark.parametrize("variant", ["<script>alert(1)</script>", "../../x", "a|b", "", "x" * 200])
def test_a_variant_whose_name_is_none_is_left_out(variant: str, make_run: Make, study: Path) -> None:
    make_run("plain", 0)
    make_run("bn", 0, record={"variant": variant}, edits={"bn1": {}})
    page = report(study)
    assert "1 complete run of 1 variant" in page
    assert "run.json has no usable variant" in page
    assert "<script>alert" not in (study / "report" / "index.html").read_text()


@text_only
def test_markup_in_what_runs_say_is_shown_as_text(make_run: Make, study: Path) -> None:
    make_run("plain", 0, record={"data": {"name": "<img src=x onerror=alert(1)>", "sha256": "d" * 64, "images": {}}})
    make_run("bn", 1, status="failed", record={"error": {"message": "<b>|`no`"}}, edits={"bn1": {}})
    page = report(study)
    assert "failed: \\<b\\>\\|\\`no\\`" in page
    html = (study / "report" / "index.html").read_text()
    assert "<img src=x" not in html
    assert "&lt;b&gt;|`no`" in html


@text_only
def test_what_is_left_out_is_named(factorial: Path, make_run: Make) -> None:
    make_run("plain", 3, status="interrupted", study={"claims": CLAIMS})
    (make_run("plain", 4, folder="seed4-torn") / "run.json").write_text("{")
    page = report(factorial)
    assert "Left out, and named below: 2 runs." in page
    assert "- plain/seed4-torn: run.json is not JSON" in page
    assert ": interrupted" in page


@text_only
def test_one_seed_is_warned_of(make_run: Make, study: Path) -> None:
    make_run("plain", 0)
    make_run("bn", 0, edits={"bn1": {}})
    page = report(study)
    assert "2 complete runs of 2 variants; seed 0; 3 epochs each." in page
    assert "One seed says nothing about the spread between runs" in page
    assert re.search(r"\| bn against plain +\| +1 seed +\| +\+0.00 pp \| –", page)


@text_only
def test_times_of_cohorts_are_shown_and_not_compared(factorial: Path, make_run: Make) -> None:
    for seed in range(3):
        make_run("alone", seed, edits={"x": {}}, record={"cohort": 2})
    page = report(factorial)
    assert "3 runs of 15 were trained together with others, in lock-step." in page
    assert "the times of 3 of 3 seeds were shares of cohorts, not of single runs" in page
    assert "Some comparisons have no seed in common, or no comparable times, and say nothing." in page


@text_only
def test_mismatches_are_told(make_run: Make, study: Path) -> None:
    make_run("plain", 0)
    make_run("plain", 1, record={"data": {"name": "digits", "sha256": "e" * 64, "images": {}}})
    assert "- Mismatch: The runs differ in data: digits dddddddddddd (1 run); digits eeeeeeeeeeee (1 run)." in report(
        study
    )


@text_only
def test_a_single_variant_has_nothing_to_compare_with(make_run: Make, study: Path) -> None:
    make_run("bn", 0)
    assert "it takes runs of the baseline plain and of another variant" in report(study)


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        ({"expect": "plain > dropuot"}, "claim c: there is no variant 'dropuot'; did you mean dropout"),
        ({"expect": "plain > bn", "metric": "tset_accuracy"}, "claim c: metric: there is no metric 'tset_accuracy'"),
        ({"expect": "plain is best"}, "claim c: expect: 'plain is best' is none of"),
    ],
)
def test_a_claim_that_cannot_be_read_is_refused_before_anything_is_written(
    claim: dict[str, Any], message: str, make_run: Make, study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run("plain", 0, study={"claims": [{"id": "c", "statement": "S.", **claim}]})
    assert run_command(["report", str(study)]) == 2
    assert message in capsys.readouterr().err
    assert not (study / "report").exists()


@text_only
def test_check_names_what_is_refuted_and_what_is_missing(
    factorial: Path, make_run: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run("plain", 3, status="failed", study={"claims": CLAIMS})
    assert run_command(["report", str(factorial), "--check"]) == 1
    complaints = capsys.readouterr().err.splitlines()
    assert "trial: refuted: two: Dropout beats plain." in complaints
    assert "trial: failed: plain seed 3" in complaints
    assert "trial: missing: bn seed 3" in complaints
    assert (factorial / "report" / "index.html").is_file()


@text_only
def test_check_is_content_with_a_whole_study(make_run: Make, study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run("plain", 0)
    make_run("bn", 0, edits={"bn1": {}})
    assert run_command(["report", str(study), "--check"]) == 0
    assert capsys.readouterr().err == ""


@text_only
def test_a_study_file_takes_the_place_of_what_was_recorded(
    factorial: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("study:\n  title: Mine\n  claims:\n    - {id: x, statement: It is., expect: bn > plain}\n")
    assert run_command(["report", str(factorial), "--study", str(file), "--out", str(tmp_path / "there")]) == 0
    assert capsys.readouterr().out.startswith("Mine\n")
    assert "It is." in (tmp_path / "there" / "report.md").read_text()
    assert not (factorial / "report").exists()


@text_only
def test_two_factorials_of_the_same_names_have_two_tables(make_run: Make, study: Path) -> None:
    kinds = {"": {"drop3": {"remove": "relu3"}}, "_other": {"drop3": {"remove": "c1"}}}
    for seed in range(2):
        make_run("plain", seed, (0.6,) * 3)
        make_run("bn", seed, (0.61 + seed / 99,) * 3, edits={"bn1": {}})
        for kind, edits in kinds.items():
            make_run(f"dropout{kind}", seed, (0.5 + seed / 90,) * 3, edits=edits)
            make_run(f"bn_dropout{kind}", seed, (0.55 + seed / 70,) * 3, edits={"bn1": {}, **edits})
    page = report(study)
    for full in ("bn_dropout", "bn_dropout_other"):
        assert (study / "report" / f"effects_bn1_drop3_{full}_test_accuracy.tex").is_file()
        assert f"Effects of bn1 and drop3 (of {full}) on test accuracy" in page.replace("\\_", "_")
    effects = pd.read_csv(study / "report" / "effects.csv")
    assert not effects.duplicated(["metric", "factors", "full"]).any()


@text_only
def test_a_study_file_keeps_the_metric_and_the_baseline_that_were_recorded(make_run: Make, study: Path) -> None:
    recorded = {"metric": "test_loss", "baseline": "bn"}
    for seed in range(2):
        make_run("plain", seed, study=recorded)
        make_run("bn", seed, (0.4, 0.4, 0.4), edits={"bn1": {}}, study=recorded)
    file = study.parent / "claims.yaml"
    file.write_text("study:\n  claims: [{id: x, statement: S., expect: bn > plain}]\n")
    assert run_command(["report", str(study), "--study", str(file)]) == 0
    results = json.loads((study / "report" / "results.json").read_text())
    assert (results["study"]["metric"], results["study"]["baseline"]) == ("test_loss", "bn")
    assert results["claims"][0]["metric"] == "test_loss"
    file.write_text("study:\n  metric: test_accuracy\n")
    assert run_command(["report", str(study), "--study", str(file)]) == 0
    results = json.loads((study / "report" / "results.json").read_text())
    assert (results["study"]["metric"], results["study"]["baseline"]) == ("test_accuracy", "bn")


@text_only
def test_published_after_one_epoch(make_run: Make, study: Path) -> None:
    make_run("plain", 0, study={"published": {"source": "S.", "epochs": 1, "variants": {}}})
    assert "They are after 1 epoch; these runs have 3" in report(study)


def test_runs_as_frames(factorial: Path) -> None:
    runs, epochs = load_runs(factorial)
    assert len(runs) == 12
    assert len(epochs) == 36
    assert {"run", "variant", "seed", "test_accuracy", "test_accuracy.maximum", "total_seconds"} <= set(runs.columns)
    assert runs.groupby("variant")["test_accuracy"].mean()["plain"] == pytest.approx(0.62)


@pytest.mark.parametrize(("folder", "message"), [("nowhere", "no such folder"), (".", "there are no runs in it")])
def test_folders_without_runs_are_refused(
    folder: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command(["report", folder]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_usage_errors(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["report", "one", "two", "three"]) == 2
    assert "usage: ablate report" in capsys.readouterr().err


def test_a_variant_keeps_its_colour() -> None:
    names = [f"variant {number}" for number in range(8)]
    palette = colours(names)
    assert list(palette) == names
    assert len(set(palette.values())) == 6


@pytest.mark.parametrize(("cohorts", "left"), [({"alone"}, 3), ({"alone", "plain"}, 6), ({*FINAL, "alone"}, None)])
def test_no_figure_compares_times_of_cohorts(
    cohorts: set[str], left: int | None, factorial: Path, make_run: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = figures.grid
    monkeypatch.setattr(figures, "grid", lambda panels, paper, name, *more: (
        grid(panels, paper, name, *more) if name in ("times", "accuracy_against_time") else Figure()
    ))  # fmt: skip
    for seed in range(3):
        make_run("alone", seed, edits={"x": {}})
    for file in factorial.glob("*/*/run.json"):
        record = json.loads(file.read_text())
        if record["variant"] in cohorts:
            file.write_text(json.dumps({**record, "cohort": 2}))
    page = report(factorial)
    out = factorial / "report"
    for name in ("times", "accuracy_against_time"):
        if left is None:
            assert not (out / f"{name}.svg").exists()
            continue
        texts = {"".join(node.itertext()).strip() for node in ElementTree.parse(out / f"{name}.svg").iter()}
        assert not cohorts & texts and "dropout" in texts
        assert f"Left out, {left} runs: their times are shares of a cohort's" in page


@text_only
def test_a_cohorts_time_is_held_against_no_bound(factorial: Path, make_run: Make) -> None:
    claim = {"id": "c", "statement": "S.", "metric": "total_seconds", "expect": "fast < 1000"}
    for seed in range(3):
        make_run("fast", seed, edits={"x": {}}, record={"cohort": 2, "started": "2027"}, study={"claims": [claim]})
    page = report(factorial)
    assert "- **Untested:** S. (the times of 3 of 3 seeds were shares of cohorts" in page


def test_what_changed_between_two_reports(writer: Callable[[Path], Make], tmp_path: Path, capsys: Any) -> None:
    means = {"before": {"plain": 0.6, "bn": 0.7}, "after": {"plain": 0.6, "bn": 0.5}}
    claim = {"id": "c", "statement": "Batch norm helps.", "expect": "bn > plain"}
    for name, of in means.items():
        for variant, mean in of.items():
            for seed in range(4):
                final = mean + (seed % 3 + (variant == "bn") * seed) / 200
                edits = {} if variant == "plain" else {"bn1": {}}
                writer(tmp_path / name)(variant, seed, (0.3, 0.3, final), edits=edits, study={"claims": [claim]})
    assert run_command(["report", str(tmp_path / "before"), str(tmp_path / "after")]) == 0
    printed = capsys.readouterr().out
    assert "1 verdict, 1 changed" in printed and "Batch norm helps. supported before, refuted now" in printed
    assert "bn: test accuracy, after the last epoch −20.00 pp" in printed
    cells = pd.read_csv(tmp_path / "after" / "changes" / "changes.csv")
    main = cells[cells["metric"] == "test accuracy, after the last epoch"].set_index("variant")
    assert dict(main["by more than chance"]) == {"plain": "the same", "bn": "yes"}
    assert not (tmp_path / "after" / "report").exists()
    assert run_command(["report", str(tmp_path / "before"), str(tmp_path / "after"), "--check"]) == 2


@text_only
def test_words_for_the_paper_say_what_the_records_hold(factorial: Path) -> None:
    page = report(factorial)
    words = (factorial / "report" / "setup.md").read_text()
    assert "We trained 4 variants with 3 seeds for 3 epochs on digits (12 runs)." in words
    assert "paired t-tests over seeds [@student1908]" in words
    assert "The runs took 0.045 hours in total on cpu with CPU. Software: torch 2." in words  # (3 + 3.5 + …) s each
    assert "commit cccccccccccc" in page
    entries = (factorial / "report" / "references.bib").read_text()
    assert re.findall(r"@\w+\{(\w+),", entries) == [
        "holm1979",
        "student1908",
        "schuirmann1987",
        "box2005",
        "shapley1953",
    ]


@pytest.mark.parametrize(
    ("width", "message"),
    [({"claim": "double"}, "width: there is no 'claim'; did you mean claims"), ({"times": "tripel"}, "width.times: ")],
)
@text_only
def test_a_figure_that_is_not_there_is_refused(
    width: dict[str, str], message: str, make_run: Make, study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for variant, edits in EDITS.items():
        make_run(variant, 0, edits=edits, study={"figures": {"width": width}, "claims": CLAIMS})
    assert run_command(["report", str(study)]) == 2
    assert f"study.figures.{message}" in capsys.readouterr().err
    assert not (study / "report").exists()
