"""The report in a notebook: the tables for a paper, and comparisons of the runs in a frame."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ablate.messages import nearest
from ablate.report.analysis.analyse import analyse
from ablate.report.output.csv_files import frames
from ablate.report.output.document import Table
from ablate.report.output.latex import latex
from ablate.report.output.render import html_table, markdown_block
from ablate.report.output.sections.ablation import ablation
from ablate.report.study.collect import collect, collect_others, find_studies
from ablate.sources.inference import infer, likely_baseline
from ablate.sources.logged_run import UNPAIRED, LoggedRun, Wanted, metric_names


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


def compare(
    frame: pd.DataFrame, metric: str | Sequence[str] = (), baseline: str | None = None, variant: str = "variant",
    seed: str = "seed",
) -> pd.DataFrame:  # fmt: skip
    """Returns the comparisons of the runs in a frame, a row a run; `ablate.compare` says more."""
    metrics = [metric] if isinstance(metric, str) else list(metric)
    for name in [variant, *metrics, *[seed] * (seed != UNPAIRED)]:
        if name not in frame:
            raise ValueError(f"{name}: the frame has no such column; {nearest(name, map(str, frame))}")
    numbers = [str(name) for name in frame.select_dtypes("number") if name not in (variant, seed)]
    taken = metrics or [name for name in numbers if "." not in name]  # what load_runs has over epochs, if it is named
    if wrong := [name for name in metrics if name not in numbers]:
        raise ValueError(f"{wrong[0]}: its column does not hold numbers alone")
    labels = list(dict.fromkeys(map(str, frame[variant])))
    first = likely_baseline(labels) if baseline is None else baseline
    if first not in labels:
        raise ValueError(f"baseline {first}: there is no such variant; {nearest(first, labels)}")
    known = {label: f"v{number}" for number, label in enumerate(labels)}  # a label may be no name of a folder
    runs = [
        LoggedRun(
            f"row {number}", "complete", "", {"variant": known[str(row[variant])], "seed": str(row.get(seed, ""))},
            [{name: float(row[name]) for name in taken if row[name] == row[name]}],
        )
        for number, row in enumerate(frame.to_dict("records"))
    ]  # fmt: skip
    pairs = seed if seed == UNPAIRED else "seed"
    found = infer(runs, Wanted("variant", pairs, metric_names(metrics), settings=[], baseline=known[first]))
    study = collect_others("frame", "a frame", found.runs, found.wanted)
    made = frames(analyse(study, found.wanted.metrics))["comparisons"]
    shown = {name: label for label, name in known.items()}
    return made.assign(**{side: made[side].map(shown) for side in ("first", "second")}).drop(columns=["timing", "runs"])
