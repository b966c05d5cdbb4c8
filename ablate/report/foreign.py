"""Results of other tools: a CSV file with a row a run."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from ablate.config.options import load
from ablate.messages import nearest
from ablate.report.study.definition import Definition, define
from ablate.report.study.study import Study
from ablate.report.study.variants import Variant


def read(
    file: Path, variant: str, seed: str, metrics: Sequence[str], baseline: str | None, definition: Path | None = None
) -> Study:
    """Reads a table of results as a study.

    Args:
        file: The CSV file (or TSV), a row for each run.
        variant: The column with the variants' names.
        seed: The column with the seeds, or with whatever pairs the runs: a fold, a data set.
        metrics: The columns to compare, the study's metric first.
        baseline: The variant that others are compared with.
        definition: A study option's file, for its claims and published figures.

    Raises:
        ValueError: The file is not a table, a column is not there or has no numbers, or a variant has a seed twice.
    """
    try:
        table = pd.read_csv(file, sep="\t" if file.suffix.lower() == ".tsv" else ",")
    except (OSError, UnicodeDecodeError, ValueError, pd.errors.ParserError) as error:
        raise ValueError(f"{file}: cannot be read as a table: {error}") from error
    columns = [str(name) for name in table.columns]
    defined = define(file.stem, load(definition), None) if definition is not None else Definition(file.stem, metric="")
    metrics = list(metrics) or [defined.metric] * bool(defined.metric)
    if not metrics:
        raise ValueError(f"{file}: say which column to compare with --metric; {nearest('', columns)}")
    for option, name in [("--variant", variant), ("--seed", seed), *(("--metric", name) for name in metrics)]:
        if name not in columns:
            raise ValueError(f"{option} {name}: {file} has no such column; {nearest(name, columns)}")
    numbers = {name: pd.to_numeric(table[name], errors="coerce") for name in metrics}
    for name, values in numbers.items():
        if values.notna().sum() == 0:
            raise ValueError(f"--metric {name}: its column in {file} has no numbers")
    labels = table[variant].astype(str)
    names = sorted(labels.unique())
    baseline = baseline or defined.baseline
    if baseline not in names:
        raise ValueError(f"--baseline {baseline}: {file} has no such {variant}; {nearest(baseline, names)}")
    runs = pd.DataFrame({"run": _rows(table), "variant": labels, "seed": _seeds(table[seed]), **numbers, "clock": ""})
    twice = runs.duplicated(["variant", "seed"])
    if twice.any():
        where = runs[twice].iloc[0]
        raise ValueError(
            f"{file}: {variant} {where['variant']} has {seed} {table[seed][twice].iloc[0]} more than once; "
            "name the column that tells the runs apart with --seed"
        )
    order = [baseline, *(name for name in names if name != baseline)]
    place = {name: number for number, name in enumerate(order)}
    runs = runs.assign(place=labels.map(place)).sort_values(["place", "seed"], kind="stable").drop(columns="place")
    return Study(
        definition=replace(defined, baseline=baseline, metric=metrics[0]),
        runs=runs.reset_index(drop=True),
        epochs=pd.DataFrame(),
        variants={name: Variant(name, name, {}, {}) for name in order},
    )


def _rows(table: pd.DataFrame) -> list[str]:
    return [f"row {number}" for number in range(2, len(table) + 2)]  # as a text editor counts, below the header


def _seeds(column: pd.Series) -> pd.Series:
    """Returns seeds as whole numbers: themselves, or the place in the order of what else pairs the runs."""
    numbers = pd.to_numeric(column, errors="coerce")
    if numbers.notna().all() and (numbers % 1 == 0).all():
        return numbers.astype(int)
    return column.astype(str).map({value: place for place, value in enumerate(sorted(column.astype(str).unique()))})
