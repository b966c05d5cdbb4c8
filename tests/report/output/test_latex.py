"""Tables in LaTeX: every character is printed as itself, by plain pdflatex (`make latex` installs it on Debian)."""

import re
import shutil
import subprocess
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from ablate.__main__ import run_command
from ablate.report.output.document import Cell, Table, bounds, text
from ablate.report.output.latex import escape, latex

PDFLATEX = shutil.which("pdflatex")
needs_pdflatex = pytest.mark.skipif(PDFLATEX is None, reason="there is no pdflatex: make latex")
Make = Callable[..., Path]
HARD = (
    "−2.04, −3.57 to −0.50", "< 0.001", "> 1 | ¿", "a--b---c", "[0.9, 0.99]", "*", "\\input{x}", "50 % & #1 $x_1^2$ ~",
    "f1 × f2 ± 3 … – — ‘q’ “Q” \"p\" 'r' `s`", "Übergröße, Łódź, Ægir, naïve ñ ç ő å š", "α β λ Λ Ω µ ² ₂ ⁿ ½",
    "∞ ≤ ≥ ≠ ≈ → ✓",
    "層 🙂 \u202e \x1b[31m й", "e\u0301 \u0301", "?` !`", "",
)  # fmt: skip


def compiled(tables: dict[str, str], folder: Path) -> str:
    """Returns the log of pdflatex on an article of two columns with tables, which it ends at the first error of."""
    for name, table in tables.items():
        (folder / name).write_text(table)
    body = "\n".join(f"Words.\\input{{{name}}}\\clearpage" for name in tables)
    cited = "\\bibliographystyle{plain}\\bibliography{references}" if (folder / "references.bib").exists() else ""
    (folder / "all.tex").write_text(
        "\\documentclass[twocolumn]{article}\\usepackage{booktabs,graphicx,amssymb}\\begin{document}\n"
        f"{body}{cited}\n\\end{{document}}\n"
    )
    command = [str(PDFLATEX), "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    for each in [command, ["bibtex", "all"], command, command] if cited else [command]:
        done = subprocess.run(each, cwd=folder, capture_output=True, text=True, errors="replace", timeout=120)
        assert done.returncode == 0, done.stdout[-2000:]
    log = (folder / "all.log").read_text(errors="replace")
    assert "Missing character" not in log
    assert not re.search(r"Overfull \\hbox|Float too large|undefined", log), log
    return log


def test_what_is_written_is_ascii_and_has_no_bare_sign_that_prints_as_another() -> None:
    for one in HARD:
        written = escape(one)
        assert written.isascii()
        assert not re.search(r'[<>|"]', re.sub(r'\$[^$]*\$|\\"', "", written)), written
    assert escape("−2.04") == "$-$2.04"
    assert escape("< 0.001") == "$<$ 0.001"
    assert escape("a_b") == r"a\_b"
    assert escape("層") == "{[}U+5C64{]}"


def test_no_two_characters_are_written_alike() -> None:
    signs = [chr(point) for point in range(33, 0x3000) if unicodedata.category(chr(point)) not in ("Cs", "Cn")]
    signs = [sign for sign in signs if unicodedata.is_normalized("NFC", sign) and not sign.isspace()]
    written: dict[str, str] = {}
    for sign in signs:
        other = written.setdefault(escape(sign), sign)
        assert unicodedata.normalize("NFKC", other) == unicodedata.normalize("NFKC", sign), sign  # such as two of µ


@needs_pdflatex
def test_pdflatex_takes_whatever_a_label_may_hold(tmp_path: Path) -> None:
    rows = [[text("a", one), bounds(one), Cell(HARD[0], one)] for one in HARD]
    parts = [(one, 1) for one in HARD]
    compiled({"hard.tex": latex(Table("hard", HARD[-4], rows, note=HARD[0], parts=parts))}, tmp_path)


@needs_pdflatex
@pytest.mark.usefixtures("undrawn")
def test_pdflatex_takes_every_table_of_a_report(make_run: Make, study: Path, tmp_path: Path) -> None:
    claims = [
        {"id": "a_b", "statement": "Plain − ours: < 5 %.", "expect": "plain > bn", "published": {"plain": 0.63}},
        {"id": "two", "statement": "It costs & costs.", "expect": "bn = plain within 0.01", "metric": "total_seconds"},
    ]
    said = {"claims": claims}
    for variant, edits in {"plain": {}, "bn": {"b_1": {}}, "drop": {"d": {}}, "both": {"b_1": {}, "d": {}}}.items():
        for seed in range(3):
            final = 0.6 - 0.1 * len(edits) + seed / (50 + 9 * len(variant) + 7 * len(edits))
            make_run(variant, seed, (0.3, 0.3, final), edits=edits, study=said)
    assert run_command(["report", str(study)]) == 0
    tables = {path.name: path.read_text() for path in sorted((study / "report").glob("*.tex"))}
    assert len(tables) > 8 and r"~\cite{holm1979}" in tables["setup.tex"]
    shutil.copy(study / "report" / "references.bib", tmp_path)
    log = compiled(tables, tmp_path)
    assert "table_ablation.tex" in log
