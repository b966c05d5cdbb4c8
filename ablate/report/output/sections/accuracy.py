"""What the variants are, and their results over seeds."""

import math
from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from ablate.report.analysis.analyse import Analysis
from ablate.report.output.document import Block, Cell, Picture, Table, Text, bounds, number, text
from ablate.report.output.words import count
from ablate.report.study.metrics import Metric, metric


def variants(analysis: Analysis) -> Table:
    """Returns the table of variants."""
    study = analysis.study
    rows = []
    for label in study.labels:
        runs = study.of(label)
        sizes = [float(runs[name].iloc[0]) if name in runs else 0.0 for name in ("parameters", "flops")]
        size = [Cell(f"{value:,.0f}", value) if value > 0 else Cell("–") for value in sizes]
        rows.append([Cell(label), Cell(study.variants[label].describe()), *size, Cell(str(len(runs)), len(runs))])
    columns = (text("variant"), text("what it is"), number("parameters"), number("FLOPs"), number("runs"))
    return Table("variants", "The variants; FLOPs of one forward pass of one example.", columns, rows)


def accuracy(analysis: Analysis, tables: Mapping[str, pd.DataFrame], drawn: Mapping[str, Picture]) -> Iterator[Block]:
    """Yields the results over seeds, the published ones, and the learning curves."""
    frame = tables["accuracy"]
    for name, rows in frame.groupby("metric", sort=False) if not frame.empty else ():
        caption = (
            f"{str(name).replace('_', ' ').capitalize()} over seeds: mean, the 95 % interval of the mean, standard "
            "deviation (SD), minimum and maximum."
        )
        yield summary(str(name), caption, rows, ["epoch"])
    if not frame.empty:
        yield Text(
            "The best epoch is chosen on the test data themselves, which flatters it: compare variants by their "
            "final epoch."
        )
    for name in (name for name in tables if name.startswith("metric_")):
        label = metric(name.removeprefix("metric_")).label
        yield summary(name, f"{label[:1].upper()}{label[1:]} over seeds.", tables[name], [])
    yield from _published(analysis, tables["published"])
    if "learning_curves" in drawn:
        yield drawn["learning_curves"]


def _published(analysis: Analysis, frame: pd.DataFrame) -> Iterator[Block]:
    definition = analysis.study.definition
    if definition.source:
        epochs = analysis.study.lengths()
        words = f"Published figures: {definition.source}"
        if definition.published_epochs is not None and epochs and epochs != {definition.published_epochs}:
            ours = " or ".join(map(str, sorted(epochs)))
            theirs = count(definition.published_epochs, "epoch")
            words += f" They are after {theirs}; these runs have {ours}, so they are not held against each other."
        yield Text(words)
    if frame.empty:
        return
    rows = []
    for row in frame.to_dict("records"):
        kind = metric(str(row["metric"]))
        inside = "one run says nothing" if row["inside"] is None else "yes" if row["inside"] else "no"
        rows.append(
            [
                Cell(str(row["variant"])),
                Cell(kind.label),
                Cell(kind.show(row["published"]), row["published"]),
                Cell(kind.show(row["mean"]), row["mean"]),
                Cell(_bounds(row["low"], row["high"], kind)),
                Cell(inside, mark={"yes": "good", "no": "bad"}.get(inside, "open")),
            ]
        )
    columns = (
        text("variant"), text("metric"), number("published"), number("mean"), bounds("one new run"), number("inside"),
    )  # fmt: skip
    caption = "Is the published figure what one more run would give? (95 % prediction interval)"
    yield Table("published", caption, columns, rows)


def _bounds(low: float, high: float, kind: Metric) -> str:
    return "–" if math.isnan(low) else f"{kind.show(low)} to {kind.show(high)}"


def summary(name: str, caption: str, frame: pd.DataFrame, extra: Sequence[str]) -> Table:
    """Returns a frame of `ablate.report.analysis.summary` as a table, with extra columns after the variant's."""
    published = bool(frame["published"].notna().any())
    rows = []
    for row in frame.to_dict("records"):
        kind = metric(str(row["metric"]))
        cells = [Cell(str(row["variant"])), *(Cell(str(row[column])) for column in extra)]
        cells += [Cell(str(row["runs"]), row["runs"]), Cell(kind.show(row["mean"]), row["mean"])]
        cells.append(Cell(_bounds(row["low"], row["high"], kind)))
        cells += [Cell(kind.show(row[column]), row[column]) for column in ("sd", "min", "max")]
        if published:
            cells.append(Cell(kind.show(row["published"]), row["published"]))
        rows.append(cells)
    columns = [text("variant"), *map(text, extra), number("runs"), number("mean"), bounds()]
    columns += [number(head) for head in ("SD", "minimum", "maximum", *["published"] * published)]
    return Table(name, caption, columns, rows)
