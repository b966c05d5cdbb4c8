"""The published results: what their pages say is what their results.json says."""

import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

RESULTS = Path(__file__).parents[1] / "docs" / "results"
STUDIES = sorted(path.parent.name for path in RESULTS.glob("*/results.json"))


def results(study: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RESULTS / study / "results.json").read_text(encoding="utf-8"))
    return found


def test_the_page_is_what_the_results_say() -> None:
    page: str = runpy.run_path(str(RESULTS / "write.py"))["page"]()
    assert page == (RESULTS / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("study", STUDIES)
def test_a_reports_figures_are_those_of_its_results(study: str) -> None:
    found, report = results(study), (RESULTS / study / "report.md").read_text(encoding="utf-8").replace("\\", "")
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in report.splitlines() if line[:1] == "|"]
    for claim in found["claims"]:
        assert f"**{claim['verdict'].capitalize()}:** {claim['statement']}" in report
    for row in found["summary"]:
        if row["metric"] == "test_accuracy" and row["runs"]:
            said = [row["variant"], row["epoch"], str(row["runs"]), f"{100 * row['mean']:.2f} %"]
            assert any(cells[: len(said)] == said for cells in lines), said


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
    timed = re.findall(r"-m (ablate\.timing study=\w+ .*)$", made, re.MULTILINE)
    assert timed and re.findall(r"-m (ablate\.timing study=\w+ .*)$", page, re.MULTILINE) == sorted(timed, reverse=True)


def test_there_is_a_first_study() -> None:
    assert "lenet_cifar10" in STUDIES


def test_the_readmes_table_is_that_of_the_first_study() -> None:
    readme = (RESULTS.parents[1] / "README.md").read_text(encoding="utf-8")
    for row in results("lenet_cifar10")["summary"]:
        if row["metric"] == "test_accuracy" and row["epoch"] == "final epoch" and row["variant"] != "bn":
            accuracy = f"{100 * row['mean']:.2f} ± {100 * row['sd']:.2f} %"
            assert f"| {row['variant']} | {accuracy} | {100 * row['published']:.2f} % |" in readme
