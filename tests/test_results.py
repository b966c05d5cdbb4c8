"""The published results: what their pages say is what their results.json says."""

import json
import math
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from ablate.report.output.words import p_value
from ablate.report.study.metrics import metric

RESULTS = Path(__file__).parents[1] / "docs" / "results"
STUDIES = sorted(path.parent.name for path in RESULTS.glob("*/results.json"))


def results(study: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RESULTS / study / "results.json").read_text(encoding="utf-8"))
    return found


def test_the_page_is_what_the_results_say() -> None:
    page: str = runpy.run_path(str(RESULTS / "write.py"))["page"]()
    assert page == (RESULTS / "README.md").read_text(encoding="utf-8")


def tables(study: str) -> list[list[str]]:
    """Returns the rows of all tables of a report."""
    report = (RESULTS / study / "report.md").read_text(encoding="utf-8").replace("\\", "")
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in report.splitlines() if line[:1] == "|"]


def compared(row: dict[str, Any]) -> list[str]:
    """Returns the figures of a comparison as the report shows them."""
    kind = metric(row["metric"])
    return [kind.show_difference(row["mean"]), kind.show_interval(row["low"], row["high"])]


@pytest.mark.parametrize("study", STUDIES)
def test_a_reports_verdicts_are_those_of_its_results(study: str) -> None:
    report = (RESULTS / study / "report.md").read_text(encoding="utf-8").replace("\\", "")
    for claim in results(study)["claims"]:
        assert f"**{claim['verdict'].capitalize()}:** {claim['statement']}" in report


@pytest.mark.parametrize("study", STUDIES)
def test_a_reports_means_are_those_of_its_results(study: str) -> None:
    rows = tables(study)
    for row in filter(lambda row: row["runs"], results(study)["summary"]):
        kind = metric(row["metric"])
        interval = "–" if row["low"] is None else f"{kind.show(row['low'])} to {kind.show(row['high'])}"
        shown = [str(row["runs"]), kind.show(row["mean"]), interval, *(kind.show(row[n]) for n in ("sd", "min", "max"))]
        assert any(cells[0] == row["variant"] and " ".join(shown) in " ".join(cells) for cells in rows), shown


@pytest.mark.parametrize("study", STUDIES)
def test_a_reports_differences_are_those_of_its_results(study: str) -> None:
    rows, found = tables(study), results(study)
    known = [
        {name: math.nan if value is None else value for name, value in row.items()} for row in found["comparisons"]
    ]
    differences = [cells for cells in rows if " against " in cells[0]]
    evidence = [cells for cells in rows if cells[0] in {claim["id"] for claim in found["claims"]}]
    assert differences or evidence
    # Of a pair that is compared one way round, a claim may say it the other way.
    turned = [{**row, "mean": -row["mean"], "low": -row["high"], "high": -row["low"]} for row in known]
    for cells in differences:
        assert any(
            cells[0] == f"{row['first']} against {row['second']}"
            and cells[1:4] == [f"{row['pairs']} {row['pairs_are']}", *compared(row)]
            and cells[4:7] == [p_value(row[name]) for name in ("p_adjusted", "p_sign_flip", "p_smallest")]
            for row in known
        ), cells
    for cells in evidence:
        assert any(
            cells[3:6] == [*compared(row), f"{row['pairs']} {row['pairs_are']}"]
            and cells[6:8] == [p_value(row[name]) for name in ("p_adjusted", "p_sign_flip")]
            for row in known + turned
        ), cells


@pytest.mark.parametrize("study", STUDIES)
def test_every_run_is_there_and_complete(study: str) -> None:
    found = results(study)
    assert {cell["status"] for cell in found["cells"]} == {"complete"}
    assert len(found["runs"]) == len(found["cells"])
    assert not found["broken"]


def test_the_page_says_what_the_makefile_runs() -> None:
    made = (RESULTS.parents[1] / "Makefile").read_text(encoding="utf-8")
    page = (RESULTS / "README.md").read_text(encoding="utf-8")
    (short,) = re.findall("^SHORT := (.*)$", made, re.MULTILINE)
    (reasons,) = re.findall("^REASONS := (.*)$", made, re.MULTILINE)
    for study in reasons.split():
        assert f"python -m ablate -m study={study} {short}\n" in page
    timed = re.findall(r"ablate (timing study=\w+ .*)$", made, re.MULTILINE)
    assert timed and re.findall(r"^ablate (timing study=\w+ .*)$", page, re.MULTILINE) == sorted(timed, reverse=True)


def test_there_is_a_first_study() -> None:
    assert "lenet_cifar10" in STUDIES


def test_the_readmes_table_is_that_of_the_first_study() -> None:
    readme = (RESULTS.parents[1] / "README.md").read_text(encoding="utf-8")
    for row in results("lenet_cifar10")["summary"]:
        if row["metric"] == "test_accuracy" and row["epoch"] == "final epoch" and row["variant"] != "bn":
            accuracy = f"{100 * row['mean']:.2f} ± {100 * row['sd']:.2f} %"
            assert f"| {row['variant']} | {accuracy} | {100 * row['published']:.2f} % |" in readme
