"""Labels of any length and any signs, in figures, pages and tables."""

import csv
import io
import warnings
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from ablate.report.analysis.analyse import analyse
from ablate.report.output import figures
from ablate.report.output.document import Commands, Document, Text
from ablate.report.output.render import markdown
from ablate.report.output.write import write_report
from ablate.report.study.collect import collect

Make = Callable[..., Path]
LABELS = [
    "optimizer.betas=[0.9,0.95,0.999,0.9999,0.99999,0.999999]",
    "$x$ and $ alone",
    "_hidden_",
    "100% & #1 < 2 | a\\b ~ ^ {x}",
    "two\nlines",
    "esc\x1b[2J",
    "卷积",
    "=HYPERLINK(1)",
]


def study_of(labels: list[str], make_run: Make) -> None:
    """A baseline, and a variant for each label, in two seeds."""
    for seed in (0, 1):
        make_run("plain", seed)
        for number, label in enumerate(labels):
            make_run(
                "dropout", seed, (0.4, 0.5, 0.5 + number / 50), edits={"drop3": {}}, optimizer={"note": label},
                record={"overrides": [f"optimizer.note={label}"]},
            )  # fmt: skip


@pytest.mark.parametrize("labels", [LABELS, [f"{LABELS[0]}{number}" for number in range(9)]])
def test_a_report_with_such_labels_is_written_whole(
    labels: list[str], make_run: Make, study: Path, tmp_path: Path
) -> None:
    study_of(labels, make_run)
    found = collect(study)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_report(analyse(found), tmp_path / "out")
    for svg in (tmp_path / "out").glob("*.svg"):
        texts = ["".join(node.itertext()) for node in ElementTree.parse(svg).iter() if node.tag.endswith("text")]
        assert not any(sign in text for text in texts for sign in "\x1b\n")
        assert labels is not LABELS or any("$x$" in text for text in texts)
    rows = list(csv.reader(io.StringIO((tmp_path / "out" / "runs.csv").read_text())))
    assert len(rows) == 1 + 2 * (1 + len(labels))


def test_short_labels_stay_different() -> None:
    long = [f"optimizer.betas={'0.9,' * 30}{ending}" for ending in ("1]" + "x" * 26, "2]" + "x" * 26)]
    shown = figures.fitted([*long, "plain", long[0]])
    assert len(set(shown)) == 3 and shown[0] == shown[3]
    assert all(len(line) <= 30 for label in shown for line in label.split("\n"))
    assert all(label.count("\n") < 3 for label in shown)


def test_beyond_the_colours_a_line_and_a_marker_tell_variants_apart() -> None:
    styles = figures.styles([str(number) for number in range(24)])
    assert len(set(styles.values())) == 24
    assert [style.colour for style in styles.values()] == [*figures.colours(list("012345")).values()] * 4


@pytest.mark.parametrize("text", ["`", "```", "````\n# Heading\n```", "a\n\n<img src=x>"])
def test_what_is_typed_stays_in_its_fence(text: str) -> None:
    page = markdown(Document("t", [Commands([f"python -m ablate x='{text}'"]), Text("after")], []))
    fence, *lines = page.split("\n")[2:]
    assert fence.strip("`") == "" and len(fence) >= 3
    end = lines.index(fence)
    assert "\n".join(lines[:end]) == f"python -m ablate x='{text}'"
    assert lines[end + 1 :] == ["", "after", ""]


@pytest.mark.parametrize("text", ["_x_", "$x$", "&copy;", "- x", "1. x", "a | b", "<b>", "# x", "+ x", "x\n\n# y"])
def test_no_text_is_markup(text: str) -> None:
    page = markdown(Document("t", [Text(text)], [])).split("\n", 2)[2].strip()
    assert "\n" not in page
    assert "\\" in page
    assert "".join(page.split("\\")) == " ".join(text.split())


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("label", ["=HYPERLINK(1)", "+1", "-1", "@x"])
def test_no_cell_is_a_formula(label: str, make_run: Make, study: Path, tmp_path: Path) -> None:
    make_run("plain", 0, data={"note": label}, record={"error": {"message": label}, "stale": [label]})
    for seed in (1, 2):
        make_run("bn", seed, edits={"bn1": {}}, record={"stale": [label]}, status="complete")
    write_report(analyse(collect(study)), tmp_path / "out")
    cells = [
        cell
        for file in (tmp_path / "out").glob("*.csv")
        for row in csv.reader(io.StringIO(file.read_text()))
        for cell in row
    ]
    assert f"'{label}" in cells
    texts = [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]
    assert all(float(cell) is not None for cell in texts)
