"""The files of a report."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from ablate.config.schema import WIDTHS
from ablate.files import Plain, atomic_write, refuse_links
from ablate.messages import nearest
from ablate.report.analysis.analyse import Analysis
from ablate.report.output import figures
from ablate.report.output.csv_files import frames, printed
from ablate.report.output.document import Document, Picture, Table
from ablate.report.output.latex import latex
from ablate.report.output.page import build
from ablate.report.output.render import html, markdown
from ablate.report.output.results_json import results
from ablate.report.output.sections.setup import setup_files

_NUMBER = re.compile(r"[-+]\d+(\.\d+)?")
_FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n")


def file_name(name: str, kind: str) -> str:
    """Returns the name of a table's file: a task's metric may be called `val/acc`."""
    return re.sub(r"[^\w.+-]+", "_", name) + f".{kind}"


def _csv(frame: pd.DataFrame, is_printed: bool = False) -> str:
    """Returns a frame as CSV, in which no text begins as the formulas of spreadsheets do; a printed number is none."""

    def as_text(value: object) -> object:
        if not isinstance(value, str) or not value.startswith(_FORMULAS):
            return value
        return value if is_printed and _NUMBER.fullmatch(value) else f"'{value}"

    return frame.map(as_text).rename(columns=as_text).to_csv(index=False, lineterminator="\n")


def write_report(analysis: Analysis, out: Path) -> tuple[Document, Plain]:
    """Writes a report: index.html, report.md, results.json, tables and figures, and words for the paper.

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
    paper, svgs = analysis.study.definition.figures, {}
    files: dict[str, str | bytes] = {}
    pictures = [block for block in document.blocks if isinstance(block, Picture)]
    for name, width in paper.width.items():
        for key, given, known in (("", name, [each.name for each in pictures]), (f".{name}", width, WIDTHS)):
            if given not in known:
                raise ValueError(f"study.figures.width{key}: there is no {given!r}; {nearest(given, known)}")
    for picture in pictures:
        with figures.sheet(paper):
            figure = picture.draw()
            files[f"{picture.name}.svg"] = svgs[picture.name] = figures.svg(figure)
            files |= {f"{picture.name}.{kind}": figures.other(figure, kind) for kind in paper.formats}
    for name, frame in tables.items():
        if not frame.empty:
            files[file_name(name, "csv")] = _csv(frame)
    for table in document.blocks:
        if isinstance(table, Table) and table.label:
            files[file_name(table.name, "csv")] = _csv(printed(table), is_printed=True)
    found = [block for block in document.blocks if isinstance(block, Table)]
    texts = {file_name(table.name, "tex"): latex(table) for table in found}
    assert len(texts) == len(found), "two tables share one file"
    files |= texts
    files |= setup_files(analysis)
    made = results(analysis, tables)
    files["results.json"] = json.dumps(made, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    files["report.md"] = markdown(document)
    files["index.html"] = html(document, svgs)
    _write(files, out)
    return document, made


def write_document(document: Document, out: Path) -> None:
    """Writes a document of text and tables alone: index.html, report.md, and the tables as CSV and LaTeX."""
    refuse_links(out)
    files: dict[str, str | bytes] = {"index.html": html(document, {}), "report.md": markdown(document)}
    for table in (block for block in document.blocks if isinstance(block, Table)):
        files |= {f"{table.name}.csv": _csv(printed(table), is_printed=True), f"{table.name}.tex": latex(table)}
    _write(files, out)


def _write(files: Mapping[str, str | bytes], out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        with atomic_write(out / name, "wb" if isinstance(content, bytes) else "w") as file:
            file.write(content)
