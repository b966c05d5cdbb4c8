"""The ablation table in its formats: Markdown, HTML, LaTeX and CSV say the same, whatever things are called."""

import csv
import html
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from ablate import ablation_tables
from ablate.__main__ import run_command
from ablate.report.output.document import Cell, Document, Table, text
from ablate.report.output.latex import escape, latex
from ablate.report.output.render import markdown
from ablate.report.study.metrics import metric

Make = Callable[..., Path]
HARD = "p_l % & # < $x$ | <i>"
NAMES = {"plain": HARD, "bn": "*b*_[n]`~^\\"}
HEADINGS = {"bn": f"component {HARD}", "test_accuracy": "acc$_&"}
pytestmark = pytest.mark.usefixtures("undrawn")


def rows_of(page: str) -> list[list[str]]:
    """Returns the texts of the first table's cells of an HTML page."""
    table = re.search(r"<table.*?</table>", page, re.DOTALL)
    assert table is not None
    rows = re.findall(r"<tr>(.*?)</tr>", table[0], re.DOTALL)
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in rows]
    return [[html.unescape(re.sub(r"<[^>]+>", "", cell)).strip() for cell in row] for row in cells]


def test_any_name_is_the_same_in_all_formats(make_run: Make, study: Path) -> None:
    finals = {"plain": (0.601, 0.624, 0.612), "bn": (0.652, 0.671, 0.667)}
    said = {"tables": {"ablation": {"names": NAMES, "headings": HEADINGS, "beside": ["parameters", "time"]}}}
    for variant, each in finals.items():
        for seed, final in enumerate(each):
            make_run(variant, seed, (0.3, 0.3, final), edits={"bn": {}} if variant == "bn" else {}, study=said)
    assert run_command(["report", str(study)]) == 0
    out = study / "report"
    page = (out / "index.html").read_text()
    shown = rows_of(page)
    assert shown == [
        ["variant", HEADINGS["bn"], f"{HEADINGS['test_accuracy']} (%) ↑", "Δ", "parameters", "time"],
        [NAMES["plain"], "–", "61.2 ± 1.2", "–", "10", "–"],
        [NAMES["bn"], "✓", "66.3 ± 1.0", "+5.1**", "10", "×1.00"],
    ]
    rendered = MarkdownIt("commonmark", {"html": True}).enable("table").render((out / "report.md").read_text())
    assert rows_of(rendered) == shown
    written = (out / "table_ablation.tex").read_text()
    for name in (*NAMES.values(), *HEADINGS.values()):
        assert escape(name).split()[0] in written
    assert r"\textbf{66.3 $\pm$ 1.0}" in written
    assert r"\label{tab:trial-ablation}" in written
    with (out / "table_ablation.csv").open() as file:
        heads, *printed = csv.reader(file)
    marks = [number for number, head in enumerate(heads) if head.endswith(" marks")]
    assert [heads[number] for number in marks] == [f"{shown[0][2]} marks", "Δ marks"]
    bare = [[cell for number, cell in enumerate(row) if number not in marks] for row in (heads, *printed)]
    assert bare == [[cell.rstrip("*") for cell in row] if row is shown[2] else row for row in shown]
    assert [printed[1][number] for number in marks] == ["best", "**"]
    (table,) = json.loads((out / "results.json").read_text())["tables"]
    assert [(value["row"], len(value["runs"])) for value in table["values"]] == [("plain", 3), ("bn", 3)]
    assert [value["middle"] for value in table["values"]] == pytest.approx([sum(each) / 3 for each in finals.values()])
    assert [row["components"] for row in table["of_rows"].values()] == [{"bn": False}, {"bn": True}]
    (in_notebook,) = ablation_tables(study)
    assert rows_of(in_notebook._repr_html_()) == shown
    assert "<button" not in in_notebook._repr_html_()
    assert in_notebook._repr_latex_() == written
    assert str(in_notebook) in (out / "report.md").read_text()
    first = {path.name: path.read_bytes() for path in out.glob("table_*")}
    assert run_command(["report", str(study)]) == 0
    assert {path.name: path.read_bytes() for path in out.glob("table_*")} == first
    assert page.index("Ablation</h2>") < page.index("Variants</h2>")


def test_groups_have_titles_and_rules() -> None:
    cells = [
        [text("v", name), Cell("x", "1", mark=mark, notes="*†")] for name, mark in (("a", "best"), ("b", "second"))
    ]
    table = Table("t", "C.", cells, "Note.", [("One", 1), ("Two", 1)])
    assert latex(table).count(r"\midrule") == 2
    assert r"\multicolumn{3}{@{}l}{\emph{Two}} \\" in latex(table)
    assert r"b & \underline{1} & $^{*\dagger}$ \\" in latex(table)
    shown = markdown(Document("T", [table], []))
    assert "| **Two** |" in shown
    assert "**1**<sup>\\*†</sup>" in shown
    assert "<ins>1</ins>" in shown
    assert shown.endswith("Note.\n")


@pytest.mark.parametrize(
    ("name", "spreads", "shown"),
    [
        ("test_accuracy", [0.005, 0.004, 0.009], "61.2"),  # 0.5 points
        ("test_accuracy", [0.0012, 0.0011, 0.004], "61.23"),  # 0.12 points: two digits
        ("test_accuracy", [0.05, 0.05, 0.00001], "61.2"),  # of the smallest, a digit more at most
        ("test_accuracy", [0.0, float("nan")], "61.23"),  # no spread: as elsewhere
        ("score", [30.0], "1"),
    ],
)
def test_digits_come_from_the_spread(name: str, spreads: list[float], shown: str) -> None:
    assert metric(name).number(0.61234, metric(name).digits(spreads)) == shown
