"""The runs of a study, as the report's parts read them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import pandas as pd

from ablate.files import PlainMapping
from ablate.records.record import RunRecord
from ablate.report.study.definition import Definition
from ablate.report.study.knockouts import Knockout
from ablate.report.study.metrics import Metric, metric
from ablate.report.study.predictions import Prediction
from ablate.report.study.timings import Timing
from ablate.report.study.variants import Variant

_NOT_METRICS = ("run", "variant", "seed", "clock")


@dataclass(frozen=True)
class Cell:
    """A variant and seed: its run's status, `missing`, or `stale` (complete, under other conditions), and why."""

    variant: str
    seed: int
    status: str
    why: str = ""


@dataclass(frozen=True)
class Study:
    """The runs of a study.

    `runs` has a row for each complete run: run, variant, seed, clock (equal where times are comparable), and metrics;
    `epochs` one for each of their epochs: run, variant, seed, and the columns of epochs.csv. A run's name is its
    variant, seed and identity, whatever its folder is called.
    """

    definition: Definition
    runs: pd.DataFrame
    epochs: pd.DataFrame
    variants: Mapping[str, Variant]  # by label, in the order they are shown: the baseline first
    records: Mapping[str, RunRecord] = field(default_factory=dict)  # of each complete run
    unfinished: Mapping[str, Cell] = field(default_factory=dict)  # of each run that is not complete
    broken: Mapping[str, str] = field(default_factory=dict)  # what is wrong with what cannot be read, by its folder
    models: Mapping[str, PlainMapping] = field(default_factory=dict)  # the options that can be run
    timings: Sequence[Timing] = ()  # of variants against each other, the newest first
    knockouts: Sequence[Knockout] = ()  # by edit, the newest of each
    prediction: Prediction | None = None  # of the runs' time, if a plan was made

    @cached_property
    def labels(self) -> list[str]:
        """The variants with a complete run, in the order they are shown."""
        with_runs = set(self.runs["variant"])
        return [label for label in self.variants if label in with_runs]

    @property
    def left_out(self) -> int:
        """How many runs are in no number; timings and plans that cannot be read are none."""
        return len(self.unfinished) + sum(not name.endswith(".json") for name in self.broken)

    @cached_property
    def timed_alike(self) -> pd.DataFrame:
        """The runs whose own clocks can be held against each other: the most that share one, none a cohort's share."""
        alone = self.runs[[run not in self.records or not self.records[run].cohort for run in self.runs["run"]]]
        return alone[alone["clock"] == alone["clock"].value_counts().index[0]] if len(alone) else alone

    def metric(self, name: str) -> Metric:
        """Returns what a metric of the runs is: what the study declares of it, and what its name says."""
        return metric(name, self.definition.metrics)

    @property
    def metrics(self) -> list[str]:
        """The names of the metrics that the runs have."""
        return [str(name) for name in self.runs.columns if name not in _NOT_METRICS]

    def lengths(self, variant: str | None = None) -> set[int]:
        """Returns how many epochs the runs have, or those of a variant; nothing where each is but a row of a table."""
        epochs = self.epochs
        if variant is not None and not epochs.empty:
            epochs = epochs[epochs["variant"] == variant]
        return set() if epochs.empty else set(map(int, epochs.groupby("run").size()))

    def values(self, variant: str, metric: str) -> pd.Series:
        """Returns a metric of a variant's runs by seed; empty where there are none."""
        return self.of(variant)[metric].dropna()

    def of(self, variant: str) -> pd.DataFrame:
        """Returns the rows of a variant's runs by seed; none where there are no runs."""
        rows = self._of_variants.get(variant)
        return self.runs[:0].set_index("seed") if rows is None else rows

    @cached_property
    def _of_variants(self) -> Mapping[str, pd.DataFrame]:
        return {str(variant): rows for variant, rows in self.runs.set_index("seed").groupby("variant", sort=False)}
