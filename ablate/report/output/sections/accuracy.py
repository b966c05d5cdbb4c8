"""What the variants are, and their results over seeds."""

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence

import pandas as pd

from ablate.report.analysis.analyse import Analysis
from ablate.report.analysis.noise import noise_table, statistics_table
from ablate.report.output.document import Block, Cell, Table, Text, bounds, text
from ablate.report.output.sections.cells import measured
from ablate.report.output.words import count
from ablate.report.study.metrics import Metric
from ablate.report.study.study import Study

_SIZES = {"parameters": "parameters", "FLOPs": "flops"}


def variants(analysis: Analysis) -> Table:
    """Returns the table of variants."""
    study = analysis.study
    rows = []
    sizes = {run: record.model.after for run, record in study.records.items()}
    some_frozen = any(size.trainable not in (None, size.parameters) for size in sizes.values())
    known = {head: name for head, name in _SIZES.items() if name in study.runs and study.runs[name].notna().any()}
    for label in study.labels:
        runs = study.of(label)
        row = [text("variant", label), text("what it is", study.variants[label].describe())]
        for head, name in known.items():
            size = float(runs[name].iloc[0])
            row.append(Cell(head, f"{size:,.0f}", size) if size > 0 else Cell(head, "–"))
        if some_frozen:
            trained = sizes[runs["run"].iloc[0]].trainable
            row.insert(
                2 + ("parameters" in known),
                Cell("trained", "–") if trained is None else Cell("trained", f"{trained:,}", trained),
            )
        rows.append([*row, Cell("runs", str(len(runs)), len(runs))])
    of_what = "; FLOPs of one forward pass of one example" if "FLOPs" in known else ""
    return Table("variants", f"The variants{of_what}.", rows)


def accuracy(analysis: Analysis, tables: Mapping[str, pd.DataFrame]) -> Iterator[Block]:
    """Yields the results over seeds, the published ones, and where the noise is."""
    frame = tables["accuracy"]
    if not frame.empty:
        for name, rows in frame.groupby("metric", sort=False):
            caption = (
                f"{str(name).replace('_', ' ').capitalize()} over seeds: mean, the 95 % interval of the mean, "
                "standard deviation (SD), minimum and maximum."
            )
            yield summary(analysis.study, str(name), caption, rows, ["epoch"])
        yield Text(
            "The best epoch is chosen on the test data themselves, which flatters it: compare variants by their "
            "final epoch."
        )
    yield from _noise(analysis)
    for name in (name for name in tables if name.startswith("metric_")):
        label = analysis.study.metric(name.removeprefix("metric_")).label
        yield summary(analysis.study, name, f"{label[:1].upper()}{label[1:]} over seeds.", tables[name])
    yield from _published(analysis, tables["published"])


def _noise(analysis: Analysis) -> Iterator[Block]:
    """Yields where the noise of the study's metric comes from, and what another statistic over epochs does to it."""
    study, kind = analysis.study, analysis.study.metric(analysis.metric)

    def spread(head: str, value: float) -> Cell:
        return Cell(head, kind.show_difference(value).lstrip("+"), value)

    frame = noise_table(study, kind.name).dropna(axis="columns", how="all")
    if len(frame.columns) > 2:  # else it would repeat the spread over seeds
        parts = {"seeds": "over seeds", "epochs": "from epoch to epoch", "images": "of the test images"}
        rows = [
            [
                text("variant", row["variant"]),
                *(spread(head, row[name]) for name, head in parts.items() if name in frame),
            ]
            for row in frame.to_dict("records")
        ]
        caption = (
            f"Where the noise of {kind.label} is, as standard deviations: more seeds average that over seeds away"
            + ", a mean of several epochs that from epoch to epoch" * ("epochs" in frame)
            + ", and only more test images that of the images, which all variants share" * ("images" in frame)
            + "."
        )
        yield Table("noise", caption, rows)
    if len(frame := statistics_table(study, kind.name)):
        rows = [
            [
                text("comparison", f"{row['first']} against {row['second']}"),
                text("metric", study.metric(row["metric"]).label),
                Cell("difference", kind.show_difference(row["mean"]), row["mean"]),
                spread("SD of differences", row["sd"]),
                Cell("seeds needed", "–" if pd.isna(row["needed"]) else f"{row['needed']:.0f}", row["needed"]),
            ]
            for row in frame.to_dict("records")
        ]
        caption = (
            "What the statistic over epochs does: with the spread of these differences, so many seeds would find them "
            "with a power of 80 %. Choose one before the runs, not by this table."
        )
        yield Table("statistics", caption, rows)


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
        kind = analysis.study.metric(row["metric"])
        inside = "one run says nothing" if row["inside"] is None else "yes" if row["inside"] else "no"
        rows.append(
            [
                text("variant", row["variant"]),
                text("metric", kind.label),
                measured("published", kind, row["published"]),
                measured("mean", kind, row["mean"]),
                _range("one new run", kind, row),
                Cell("inside", inside, mark={"yes": "good", "no": "bad"}.get(inside, "open")),
            ]
        )
    yield Table("published", "Is the published figure what one more run would give? (95 % prediction interval)", rows)


def _range(head: str, kind: Metric, row: Mapping[Hashable, float]) -> Cell:
    return bounds("–" if math.isnan(row["low"]) else f"{kind.show(row['low'])} to {kind.show(row['high'])}", head)


def summary(study: Study, name: str, caption: str, frame: pd.DataFrame, extra: Sequence[str] = ()) -> Table:
    """Returns a frame of `ablate.report.analysis.summary` as a table, with extra columns after the variant's."""
    values = {"sd": "SD", "min": "minimum", "max": "maximum"}
    if frame["published"].notna().any():
        values["published"] = "published"
    rows = []
    for row in frame.to_dict("records"):
        kind, of_variant = study.metric(row["metric"]), study.of(row["variant"])["run"]
        runs = tuple(of_variant.loc[list(map(int, row["seeds"].split()))])
        rows.append(
            [
                *(text(column, row[column]) for column in ("variant", *extra)),
                Cell("runs", str(row["runs"]), row["runs"]),
                measured("mean", kind, row["mean"], runs),
                _range("95 % interval", kind, row),
                *(measured(head, kind, row[column], runs) for column, head in values.items()),
            ]
        )
    return Table(name, caption, rows)


def confusion(analysis: Analysis) -> Iterator[Block]:
    """Yields the confusion matrix of each variant, the mean over its seeds, where it was measured."""
    study = analysis.study
    kinds = [kind for kind in map(study.metric, study.metrics) if kind.is_of_test and kind.taken_for]
    pairs = {(kind.of_class, kind.taken_for): kind for kind in kinds}
    classes = list(dict.fromkeys(right for right, _ in pairs))
    if not classes:
        return
    for place, label in enumerate(study.labels):
        means = {pair: float(study.values(label, kind.name).mean()) for pair, kind in pairs.items()}
        rows = [
            [text("class", right), *(measured(taken, pairs[right, taken], means[right, taken]) for taken in classes)]
            for right in classes
        ]
        caption = (
            f"Confusion of {label}: of each class (a row) the share that is taken for each (a column), over seeds."
        )
        yield Table(f"confusion_{place}", caption, rows)
