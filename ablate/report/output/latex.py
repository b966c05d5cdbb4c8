"""A table as LaTeX that plain pdflatex prints as it is: no character is dropped or shown as another."""

import re
import unicodedata
from textwrap import wrap

from ablate.report.output.document import Cell, Table

_ONE_COLUMN = 52  # characters, about
_HEAD = 14  # characters of a line of a head
_UPRIGHT = 6  # and of one of a sign, beyond which all of these are turned

# What has a meaning of its own in LaTeX, or another face in its first fonts.
_WRITTEN = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "%": r"\%", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": "$<$", ">": "$>$", "|": "$|$", '"': "{''}",
    "'": "{'}", "`": "{`}", "[": "{[}", "]": "{]}", "*": "{*}",
    "−": "$-$", "×": r"$\times$", "·": r"$\cdot$", "±": r"$\pm$", "≤": r"$\leq$", "≥": r"$\geq$", "≠": r"$\neq$",
    "≈": r"$\approx$", "→": r"$\to$", "∞": r"$\infty$", "µ": r"$\mu$", "°": r"$^\circ$", "✓": r"\checkmark{}",
    "↑": r"$\uparrow$", "↓": r"$\downarrow$", "†": r"$\dagger$",
    "–": r"\textendash{}", "—": r"\textemdash{}", "…": r"\ldots{}", "‘": "`", "’": "'", "“": "``", "”": "''",
    "\xa0": "~", "ß": r"\ss{}", "æ": r"\ae{}", "Æ": r"\AE{}", "ø": r"\o{}", "Ø": r"\O{}", "œ": r"\oe{}", "Œ": r"\OE{}",
    "ł": r"\l{}", "Ł": r"\L{}", "ı": r"\i{}", "§": r"\S{}", "©": r"\copyright{}",
}  # fmt: skip
_ACCENTS = {
    "\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0306": "u", "\u0307": ".",
    "\u0308": '"', "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0323": "d", "\u0327": "c", "\u0331": "b",
}  # fmt: skip
_GREEK = re.compile(
    "GREEK SMALL LETTER (ALPHA|BETA|GAMMA|DELTA|EPSILON|ZETA|ETA|THETA|IOTA|KAPPA|LAMDA|MU|NU|XI|PI|RHO|SIGMA|TAU"
    "|UPSILON|PHI|CHI|PSI|OMEGA)|GREEK CAPITAL LETTER (GAMMA|DELTA|THETA|LAMDA|XI|PI|SIGMA|UPSILON|PHI|PSI|OMEGA)"
)


def latex(table: Table) -> str:
    r"""Returns a table as a float for `\input`, made smaller where it is wider than what it stands in."""
    head = table.rows[0]
    columns = sum(2 if cell.content == "number" else 1 for cell in head)
    turned = any(len(cell.head) > _UPRIGHT for cell in head if cell.content == "sign")
    lines = [r"\toprule", " & ".join(_head(cell, turned) for cell in head) + r" \\"]
    for title, rows in table.in_parts:
        titles = [rf"\multicolumn{{{columns}}}{{@{{}}l}}{{\emph{{{escape(title)}}}}} \\"] if title else []
        lines += [r"\midrule", *titles, *(" & ".join(map(_cell, row)) + r" \\" for row in rows)]
    width = sum(max(len(cell.text) for cell in column) + 2 for column in zip(*table.rows, strict=True))
    kind = "table*" if width > _ONE_COLUMN else "table"
    aligned = "".join({"number": "r@{}l", "sign": "c"}.get(cell.content, "l") for cell in head)  # r: signs stand after
    label = re.sub("[^A-Za-z0-9:.-]+", "-", table.label or f"tab:{table.name}")
    needed = ["booktabs", "graphicx", *["amssymb"] * any(r"\checkmark" in line for line in lines)]
    note = [rf"\par\smallskip\parbox{{\linewidth}}{{\footnotesize {escape(table.note)}}}"] if table.note else []
    return "\n".join(
        [
            rf"% Needs \usepackage{{{','.join(needed)}}}", rf"\begin{{{kind}}}[t]",
            r"\centering\small\setlength{\tabcolsep}{4pt}\setlength{\belowcaptionskip}{6pt}",
            rf"\caption{{{escape(table.caption)}}}", rf"\label{{{label}}}",
            rf"\sbox0{{\begin{{tabular}}{{@{{}}{aligned}@{{}}}}", *lines, r"\bottomrule", r"\end{tabular}}%",
            r"\ifdim\wd0>\linewidth\resizebox{\linewidth}{!}{\usebox0}\else\usebox0\fi", *note, rf"\end{{{kind}}}", "",
        ]
    )  # fmt: skip


def _head(cell: Cell, turned: bool) -> str:
    if cell.content == "sign" and turned:
        return rf"\rotatebox{{90}}{{{escape(cell.head)}}}"
    lines = [escape(line) for line in wrap(cell.head, _HEAD)]
    stacked = r" \\ ".join(lines)
    text = escape(cell.head) if len(lines) < 2 else rf"\shortstack{{{stacked}}}"
    return rf"\multicolumn{{2}}{{c}}{{{text}}}" if cell.content == "number" else text


def _cell(cell: Cell) -> str:
    text = escape(cell.text)
    text = {"best": rf"\textbf{{{text}}}", "second": rf"\underline{{{text}}}"}.get(cell.mark, text)
    signs = cell.notes.replace("†", r"\dagger")
    return f"{text} &{f' $^{{{signs}}}$' if signs else ''}" if cell.content == "number" else text


def escape(text: str) -> str:
    """Returns a text as LaTeX prints it; a character that the first fonts lack is shown by its number, as [U+4E2D]."""
    escaped = "".join(map(_character, unicodedata.normalize("NFC", " ".join(text.split()))))
    return re.sub("-(?=-)", "-{}", escaped)  # which would be one long dash


def _character(sign: str) -> str:
    if sign in _WRITTEN:
        return _WRITTEN[sign]
    if " " <= sign <= "~":
        return sign
    kind, *parts = unicodedata.decomposition(sign).split() or [""]
    if kind in ("<super>", "<sub>") and len(parts) == 1 and chr(int(parts[0], 16)).isascii():
        return f"${'^' if kind == '<super>' else '_'}{{{chr(int(parts[0], 16))}}}$"
    if parts and not kind.startswith("<"):
        base, accent = chr(int(kind, 16)), chr(int(parts[0], 16))
        if accent in _ACCENTS and base.isascii() and base.isalpha():
            return rf"\{_ACCENTS[accent]}{{{base}}}"
    greek = _GREEK.fullmatch(unicodedata.name(sign, ""))
    if greek is not None:
        name = greek[greek.lastindex or 1].replace("LAMDA", "LAMBDA").lower()
        return rf"$\{name if greek[1] else name.capitalize()}$"
    return f"{{[}}U+{ord(sign):04X}{{]}}"
