"""The files of a report."""

import json
import re
from pathlib import Path

import pandas as pd

from ablate.files import Plain, atomic_write, refuse_links
from ablate.report.analysis.analyse import Analysis
from ablate.report.output import figures
from ablate.report.output.csv_files import frames
from ablate.report.output.document import Document, Picture, Table
from ablate.report.output.latex import latex
from ablate.report.output.page import build
from ablate.report.output.render import html, markdown
from ablate.report.output.results_json import results

_FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n")


def file_name(name: str, kind: str) -> str:
    """Returns the name of a table's file: a task's metric may be called `val/acc`."""
    return re.sub(r"[^\w.+-]+", "_", name) + f".{kind}"


def _csv(frame: pd.DataFrame) -> str:
    """Returns a frame as CSV, in which no text begins as the formulas of spreadsheets do."""

    def as_text(value: object) -> object:
        return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULAS) else value

    return frame.map(as_text).rename(columns=as_text).to_csv(index=False, lineterminator="\n")


def write_report(analysis: Analysis, out: Path) -> tuple[Document, Plain]:
    """Writes a report: index.html, report.md, results.json, tables as CSV and LaTeX, figures as SVG and PNG.

    Args:
        analysis: What it says.
        out: The folder, made if it is not there.

    Returns:
        What was written, as a document, and the content of results.json.

    Raises:
        ValueError: The folder is a link.
        OSError: The folder cannot be written to.
    """
    refuse_links(out)
    tables = frames(analysis)
    document = build(analysis, tables)
    svgs: dict[str, dict[str, str]] = {}
    files: dict[str, str | bytes] = {}
    for picture in (block for block in document.blocks if isinstance(block, Picture)):
        with figures.theme():
            figure = picture.draw()
            svg, png = figures.svg(figure), figures.png(figure)
        files |= {f"{picture.name}.svg": svg, f"{picture.name}.png": png}
        svgs[picture.name] = {"light": svg, "dark": figures.on_dark(svg)}
    for name, frame in tables.items():
        if not frame.empty:
            files[file_name(name, "csv")] = _csv(frame)
    found = [block for block in document.blocks if isinstance(block, Table)]
    texts = {file_name(table.name, "tex"): latex(table) for table in found}
    assert len(texts) == len(found), "two tables share one file"
    files |= texts
    made = results(analysis, tables)
    files["results.json"] = json.dumps(made, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    files["report.md"] = markdown(document)
    files["index.html"] = html(document, svgs)
    out.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        with atomic_write(out / name, "wb" if isinstance(content, bytes) else "w") as file:
            file.write(content)
    return document, made
