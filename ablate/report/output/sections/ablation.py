"""The ablation table, as it stands in a paper."""

import math
from collections.abc import Iterator, Sequence

from ablate import stats
from ablate.report.analysis.ablation import AblationTable, Row, Value
from ablate.report.analysis.analyse import Analysis
from ablate.report.output import words
from ablate.report.output.document import Block, Cell, Table, Text, text
from ablate.report.study.metrics import Metric

_STARS = {"***": 0.001, "**": 0.01, "*": 0.05}  # below which p has so many
_CELLS = {
    "sd": "mean ± standard deviation",
    "interval": "mean [its 95 % interval]",
    "median": "median [smallest, largest]",
    "mean": "mean",
}
_TESTS = {stats.Test.FIXED: "paired t-test", stats.Test.ANYTIME: "anytime-valid t-test, for any number of looks"}


def ablation(analysis: Analysis) -> Iterator[Block]:
    """Yields the tables for a paper."""
    for table in analysis.tables:
        yield _table(analysis, table)
        unknown = [kind.name for kind in table.metrics if kind.higher_is_better is None]
        if unknown:
            yield Text(
                f"Nothing is marked as the best in {words.listed(unknown)}, of which ablate does not know what is "
                f"better: study.metrics={{{unknown[0]}: {{better: higher}}}}, or lower, in the study's option says it."
            )


def _table(analysis: Analysis, table: AblationTable) -> Table:
    """Returns a table; of several data sets, metrics stand below each other, else beside."""
    several = len(table.data) > 1
    rows, parts = [], []
    for metrics in [[kind] for kind in table.metrics] if several else [table.metrics]:
        for title in dict.fromkeys(row.group for row in table.rows):
            of_part = [_cells(table, metrics, row) for row in table.rows if row.group == title]
            rows += of_part
            parts.append((": ".join(filter(None, [_head(table, metrics[0]) * several, title])), len(of_part)))
    caption = table.chosen.caption or _caption(analysis, table)
    label = table.chosen.label or f"tab:{analysis.study.definition.name}-{table.name}"
    return Table(f"table_{table.name}", caption, rows, " ".join(_note(analysis, table)), parts, label)


def _head(table: AblationTable, kind: Metric) -> str:
    arrow = {True: " ↑", False: " ↓", None: ""}[kind.higher_is_better]
    alike = sum(other.column == kind.column for other in table.metrics) > 1
    name = table.heading(kind.name, kind.label if alike else kind.short)
    return f"{name}{f' ({kind.unit})' * bool(kind.unit)}{arrow}"


def _cells(table: AblationTable, metrics: Sequence[Metric], row: Row) -> list[Cell]:
    """Returns the cells of a row; of several data sets, significance stands at the values, for want of room."""
    several, cells = len(table.data) > 1, [text("variant", table.called(row.name))]
    for part in table.components:
        is_in = row.components[part]
        cells.append(Cell(table.heading(part), "✓" if is_in else "–", float(is_in), content="sign"))
    for kind in metrics:
        digits: int | None = None
        for data in table.data:
            value, head = row.values.get((kind.name, data)), table.heading(data) if several else _head(table, kind)
            column = [each.values[kind.name, data].sd for each in table.rows if (kind.name, data) in each.values]
            digits = kind.digits(column)
            cells.append(_value(table, kind, head, value, digits))
            cells += [_difference(table, kind, value, digits)] if table.against and not several else []
        if several:
            mean, rank = row.averages.get(kind.name, (math.nan, math.nan))
            cells.append(Cell("average", "–" if math.isnan(mean) else kind.number(mean, digits), mean))
            cells.append(Cell("rank", "–" if math.isnan(rank) else f"{rank:.1f}", rank))
    return cells + [_beside(name, value) for name, value in row.beside.items()]


def _value(table: AblationTable, kind: Metric, head: str, value: Value | None, digits: int | None) -> Cell:
    if value is None or not len(value.numbers):
        return Cell(head, "–")
    shown, marks, cells = kind.number(value.middle, digits), table.chosen.marks, table.chosen.cells
    interval = stats.mean_interval(value.numbers)
    low, high = (interval.low, interval.high) if cells == "interval" else (value.numbers.min(), value.numbers.max())
    if not math.isnan(value.sd) and cells != "mean":
        spread = f" ± {kind.number(value.sd, digits)}" if cells == "sd" else ""
        shown += spread or f" [{kind.number(low, digits)}, {kind.number(high, digits)}]"
    place = {1: "best", 2: "second"}.get(value.place, "")
    signs = _stars(table, value) * (len(table.data) > 1) + "†" * (value.is_near and "near" in marks)
    return Cell(head, shown, value.middle, mark=place if place in marks else "", notes=signs, runs=value.runs)


def _stars(table: AblationTable, value: Value) -> str:
    return next((s for s, most in _STARS.items() if value.p < most), "") if "significance" in table.chosen.marks else ""


def _difference(table: AblationTable, kind: Metric, value: Value | None, digits: int | None) -> Cell:
    if value is None or value.answer is None or math.isnan(mean := value.answer.evidence.mean):
        return Cell("Δ", "–")
    shown = f"×{math.exp(mean):.2f}" if kind.is_cost else kind.number(mean, digits, "+")
    return Cell("Δ", shown, mean, notes=_stars(table, value), runs=value.answer.all_runs)


def _beside(name: str, value: float) -> Cell:
    head = {"flops": "FLOPs"}.get(name, name)
    if math.isnan(value):
        return Cell(head, "–")
    shown = f"×{value:.2f}" if name == "time" else f"{value / 1e6:,.2f} M" if value >= 1e6 else f"{value:,.0f}"
    return Cell(head, shown, value)


def _caption(analysis: Analysis, table: AblationTable) -> str:
    """Returns what the table shows: of which study, metrics by their statistics, how, and over how many seeds."""
    over: dict[str, list[str]] = {}
    for kind in table.metrics:
        of_epochs = kind.over_epochs if analysis.study.lengths() else ""  # a table of results knows of no epochs
        over.setdefault(of_epochs, []).append(table.heading(kind.name, kind.short))
    measured = "; ".join(f"{words.listed(names)} {statistic}".strip() for statistic, names in over.items())
    seeds = {len(value.numbers) for value in table.values}
    title = analysis.study.definition.title or analysis.study.definition.name
    return f"{title}: {measured}, {_CELLS[table.chosen.cells]} over {words.span(seeds, 'seed')}."


def _note(analysis: Analysis, table: AblationTable) -> Iterator[str]:
    """Yields what differences and marks rest on, of those that there are."""
    marks, values = table.chosen.marks, table.values
    compared = [value.answer for value in values if value.answer is not None]
    unpaired = analysis.study.definition.pairing == "unpaired" and analysis.looks.test is stats.Test.FIXED
    test = "Welch's t-test" if unpaired else _TESTS[analysis.looks.test]
    others = {answer.question.second for answer in compared}
    to = f"{table.called(table.against)}{' with the same other settings' * (len(others) > len(table.data))}"
    if compared and len(table.data) == 1:
        unit = " in percentage points" * any(kind.kind == "share" for kind in table.metrics)
        yield f"Δ: {'paired ' * (not unpaired)}difference to {to}{unit}."
    tests = {answer.family for answer in compared if not math.isnan(answer.p)}
    if "significance" in marks and tests:
        adjusted = f"{test}, adjusted for {words.span(tests, 'test')} by Holm's method"
        yield f"* p < 0.05, ** p < 0.01, *** p < 0.001 against {to} ({adjusted})."
    if "time" in table.chosen.beside and table.against:
        yield f"Time: of a run, as a ratio to that of {to}."
    said = {1: ("best", "bold: the best of a column"), 2: ("second", "underlined: the second")}
    shown = [text for place, (mark, text) in said.items() if mark in marks and place in {v.place for v in values}]
    if shown:
        yield f"{'; '.join(shown).capitalize()}."
    if "near" in marks and any(value.is_near for value in values):
        yield (
            f"†: not told apart from the best ({test}, p × {len(table.rows) - 1} ≥ 0.05); with it, the marked hold "
            "what truly is the best with a confidence of 95 %."
        )
    lost = dict.fromkeys(f"{value.label} ({words.count(value.lost, 'run')})" for value in values if value.lost)
    if lost:
        yield f"Not marked, for runs that gave no number: {words.listed(lost)}."
