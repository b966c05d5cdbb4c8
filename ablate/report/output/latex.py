"""A table as LaTeX that plain pdflatex prints as it is: no character is dropped or shown as another."""

import re
import unicodedata

from ablate.report.output.document import Table

# What has a meaning of its own in LaTeX, or another face in its first fonts.
_WRITTEN = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "%": r"\%", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": "$<$", ">": "$>$", "|": "$|$", '"': "{''}",
    "'": "{'}", "`": "{`}", "[": "{[}", "]": "{]}", "*": "{*}",
    "−": "$-$", "×": r"$\times$", "·": r"$\cdot$", "±": r"$\pm$", "≤": r"$\leq$", "≥": r"$\geq$", "≠": r"$\neq$",
    "≈": r"$\approx$", "→": r"$\to$", "∞": r"$\infty$", "µ": r"$\mu$", "°": r"$^\circ$", "✓": r"$\surd$",
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
    """Returns a table as LaTeX, with rules of the package booktabs."""
    lines = [[cell.head for cell in table.rows[0]], *([cell.text for cell in row] for row in table.rows)]
    head, *rows = (f"{' & '.join(map(escape, line))} \\\\" for line in lines)
    align = "".join("r" if cell.content == "number" else "l" for cell in table.rows[0])
    return "\n".join(
        [rf"\begin{{tabular}}{{{align}}}", r"\toprule", head, r"\midrule", *rows, r"\bottomrule", r"\end{tabular}", ""]
    )


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
