"""The tables for a paper in a notebook."""

from dataclasses import dataclass
from pathlib import Path

from ablate.report.analysis.analyse import analyse
from ablate.report.output.document import Table
from ablate.report.output.latex import latex
from ablate.report.output.render import html_table, markdown_block
from ablate.report.output.sections.ablation import ablation
from ablate.report.study.collect import collect, find_studies


@dataclass(frozen=True)
class Shown:
    """A table that a notebook shows as HTML and exports as Markdown or LaTeX; `print` gives it as Markdown."""

    table: Table

    def __str__(self) -> str:
        return markdown_block(self.table)

    _repr_markdown_ = __str__

    def _repr_html_(self) -> str:
        return html_table(self.table)

    def _repr_latex_(self) -> str:
        return latex(self.table)


def ablation_tables(path: Path) -> list[Shown]:
    """Returns the tables of all studies at or below a folder; `ablate.ablation_tables` says more."""
    analyses = [analyse(collect(folder)) for folder in find_studies(path)]
    return [Shown(block) for analysis in analyses for block in ablation(analysis) if isinstance(block, Table)]
