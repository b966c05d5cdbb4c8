"""The ablation table: a row a variant, its components, and what it gives by each metric on each data set."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from ablate import stats
from ablate.config.schema import TableConfig
from ablate.files import FOLDER_NAME
from ablate.messages import nearest
from ablate.report.analysis.comparisons import Answer, Question, answers, baseline_of, families, find, lost
from ablate.report.analysis.data_sets import Labels, by_data
from ablate.report.analysis.effects import components
from ablate.report.analysis.verdicts import FEWEST
from ablate.report.study.metrics import Metric, check_metric
from ablate.report.study.study import Study


@dataclass(frozen=True)
class Value:
    """What a variant gives by a metric.

    Attributes:
        label: The variant.
        runs: By seed.
        numbers: Shape (seeds,), theirs.
        middle: Their mean, or the median if that is shown.
        lost: How many runs gave no number.
        answer: The comparison with what differences are to, if there is one.
        p: Its adjusted p-value, where there are enough pairs to decide; else NaN.
        place: From 1 for the best of a column; 0 where nothing can be marked.
        is_near: Whether it is not told apart from the best.
    """

    label: str
    runs: Sequence[str]
    numbers: NDArray[np.float64]
    middle: float
    lost: int
    answer: Answer | None
    p: float = np.nan
    place: int = 0
    is_near: bool = False

    @property
    def sd(self) -> float:
        """The standard deviation over the seeds."""
        return float(self.numbers.std(ddof=1)) if len(self.numbers) > 1 else np.nan


@dataclass(frozen=True)
class Row:
    """A row: its values by metric and data set, and by metric their mean and mean rank over all data sets."""

    name: str
    group: str
    components: Mapping[str, bool]
    values: Mapping[tuple[str, str], Value]
    averages: Mapping[str, tuple[float, float]]
    beside: Mapping[str, float]  # parameters, flops, and the ratio of the time to that of what differences are to


@dataclass(frozen=True)
class AblationTable:
    """A table for a paper: what it shows, and of what; `against` is the row that differences are to, if there is one.

    The data set is one without a name where the rows are not of several.
    """

    name: str
    chosen: TableConfig
    metrics: Sequence[Metric]
    data: Sequence[str]
    components: Sequence[str]
    rows: Sequence[Row]
    against: str

    @property
    def values(self) -> list[Value]:
        """Those of all rows."""
        return [value for row in self.rows for value in row.values.values()]

    def called(self, row: str) -> str:
        """Returns what a row is to be called."""
        return self.chosen.names.get(row, row)

    def heading(self, name: str, usual: str = "") -> str:
        """Returns what a column is to be called; what it usually is if nothing is said."""
        return self.chosen.headings.get(name, usual or name)


def ablation_tables(
    study: Study, metrics: Sequence[str], known: Mapping[Question, Answer], test: stats.Test, is_whole: bool
) -> list[AblationTable]:
    """Returns the tables that a study asks for; one of its own if it asks for none.

    Args:
        study: The runs.
        metrics: Those of a table that names none.
        known: The comparisons that the report makes, adjusted: differences to the baseline are theirs.
        test: The test that decides.
        is_whole: Whether all runs are there: until then, a table may name what has none yet.

    Raises:
        ValueError: A table names what is not there; the message has the nearest.
    """
    asked = study.definition.tables or {"ablation": TableConfig()}
    return [_Maker(study, known, test, is_whole, chosen, name).table(metrics) for name, chosen in asked.items()]


@dataclass(frozen=True)
class _Maker:
    study: Study
    known: Mapping[Question, Answer]
    test: stats.Test
    is_whole: bool
    chosen: TableConfig
    name: str

    def table(self, metrics: Sequence[str]) -> AblationTable:
        study, chosen = self.study, self.chosen
        named, data = by_data(study, chosen.across)
        if not FOLDER_NAME.fullmatch(self.name):
            raise ValueError(f"study.tables.{self.name}: names files, so use letters, digits, '_', '-' and '.'")
        groups = self._groups(named)
        parts = components(study.variants[next(iter(named[row].values()))] for row in groups)
        where = f"study.tables.{self.name}.columns"
        kinds = [study.metric(check_metric(each, study.metrics, where)) for each in chosen.columns or metrics]
        self._check("components", chosen.components or (), parts[0])
        self._check("names", chosen.names, groups)
        self._check("headings", chosen.headings, [*parts[0], *(kind.name for kind in kinds), *data])
        self._check("against", [chosen.against], ["baseline", "full", "none", *named])
        most = max(range(len(parts)), key=lambda number: sum(parts[number].values()))
        base = [row for row, labels in named.items() if study.definition.baseline in (row, *labels.values())]
        to = {"none": [], "full": [list(groups)[most]], "baseline": base[:1]}.get(chosen.against, [chosen.against])
        against: dict[str, str] = {}  # what a variant's difference is to
        for labels in (named[row] for row in groups if to):
            for of, label in labels.items():
                same = baseline_of(study, label) if chosen.against == "baseline" else None
                is_of_set = any(labels.get(of) == same for labels in named.values())
                other = same if is_of_set else named[to[0]].get(of)
                against |= {label: other} if other not in (None, label) else {}
        columns = {
            (kind.name, of): self._column(kind, {row: named[row][of] for row in groups if of in named[row]}, against)
            for kind in kinds
            for of in data
        }
        averages = {kind.name: _averages(kind, [columns[kind.name, of] for of in data]) for kind in kinds}
        times = self._compared("total_seconds", against) if "time" in chosen.beside else {}
        rows = [
            Row(
                name=row,
                group=group,
                components=of_row,
                values={key: column[row] for key, column in columns.items() if row in column},
                averages={kind: each[row] for kind, each in averages.items() if row in each},
                beside={each: _beside(study, each, named[row], times) for each in chosen.beside},
            )
            for (row, group), of_row in zip(groups.items(), parts, strict=True)
        ]
        shown = [part for part in (parts[0] if chosen.components is None else chosen.components) if part in parts[0]]
        return AblationTable(self.name, chosen, kinds, data, shown, rows, to[0] if against else "")

    def _check(self, key: str, given: Iterable[str], known: Iterable[str]) -> None:
        for name in given if self.is_whole else ():
            if name not in known:
                where = f"study.tables.{self.name}.{key}"
                raise ValueError(f"{where}: there is no {name!r} in this table; {nearest(name, known)}")

    def _groups(self, named: Iterable[str]) -> dict[str, str]:
        """Returns the rows in their order, each with the title of its group."""
        wanted = list(named) if self.chosen.rows is None else self.chosen.rows
        groups = wanted if isinstance(wanted, Mapping) else {"": wanted}
        if not groups or not all(isinstance(names, list) and names for names in groups.values()):
            raise ValueError(
                f"study.tables.{self.name}.rows={wanted}: must be a list of variants, or such lists by titles of groups"
            )
        found: dict[str, str] = {}
        for title, names in groups.items():
            for name in map(str, names):
                fitting = [name] if name in named else [row for row in named if fnmatchcase(row, name)]
                if not fitting:
                    self._check("rows", [name], named)
                found |= {row: str(title) for row in fitting if row not in found}
        return found or dict.fromkeys(named, "")

    def _compared(self, name: str, against: Mapping[str, str]) -> dict[str, Answer]:
        """Returns the comparison of each variant with what its difference is to."""
        asked = {label: Question(name, label, other) for label, other in against.items() if name in self.study.metrics}
        is_known = all(question in self.known for question in asked.values())
        found = self.known if is_known else families(self.study, asked.values(), self.test)
        return {label: find(found, question) for label, question in asked.items()}

    def _column(self, kind: Metric, labels: Labels, against: Mapping[str, str]) -> dict[str, Value]:
        """Returns the values of a metric on a data set by row, marked."""
        compared = self._compared(kind.name, against)
        values = {}
        for row, label in labels.items():
            of_seeds = self.study.values(label, kind.name)
            numbers, runs = of_seeds.to_numpy(dtype=float), tuple(self.study.of(label)["run"].loc[of_seeds.index])
            middle = np.nan
            if len(numbers):
                middle = np.median(numbers) if self.chosen.cells == "median" else numbers.mean()
            answer = compared.get(label)
            p = answer.p_adjusted if answer is not None and _decides(answer) else np.nan
            without = len(lost(self.study, [label], kind.name))
            values[row] = Value(label, runs, numbers, float(middle), without, answer, p)
        return _marked(self.study, kind, values, self.test)


def _decides(answer: Answer) -> bool:
    return answer.evidence.pairs >= FEWEST and not answer.lost


def _marked(study: Study, kind: Metric, column: dict[str, Value], test: stats.Test) -> dict[str, Value]:
    """Marks the best of a column, the second, and what is not told apart from the best.

    Told apart is what the best beats with a two-sided p-value below 0.05 over the number of others. So only what some
    other beats at that level is left unmarked, and the marked ones hold the one that truly is the best with a
    probability of 95 %, whichever came out as best. A variant that lost runs is not marked; nothing is where some
    variant has no two seeds in common with the best.
    """
    sign = 1 if kind.higher_is_better else -1
    middles = {
        row: float(f"{sign * value.middle:.12g}")
        for row, value in column.items()
        if len(value.numbers) and not value.lost
    }
    if kind.higher_is_better is None or len(middles) < 2:
        return column
    order = sorted(set(middles.values()), reverse=True)
    best = max(middles, key=middles.__getitem__)
    asked = {row: Question(kind.name, column[best].label, column[row].label) for row in middles if row != best}
    found = answers(study, asked.values(), test)
    against = {row: find(found, question) for row, question in asked.items()}
    if any(answer.evidence.pairs < 2 and not answer.is_exact for answer in against.values()):
        return column
    near = {row for row, answer in against.items() if not _beaten(answer, sign, len(against))}
    places = {row: order.index(middle) + 1 for row, middle in middles.items()}
    return {
        row: replace(value, place=places.get(row, 0), is_near=row in near and places[row] > 1)
        for row, value in column.items()
    }


def _beaten(answer: Answer, sign: int, others: int) -> bool:
    if answer.is_exact:
        return answer.evidence.mean != 0
    return _decides(answer) and sign * answer.evidence.mean > 0 and answer.p * others < stats.ALPHA


def _averages(kind: Metric, columns: Sequence[Mapping[str, Value]]) -> dict[str, tuple[float, float]]:
    """Returns the mean over data sets, and the mean rank, of the rows with a number on each of them."""
    rows = [row for row in columns[0] if all(row in of and not np.isnan(of[row].middle) for of in columns)]
    if len(columns) < 2 or not rows:
        return {}
    middles = np.array([[of[row].middle for of in columns] for row in rows])
    ranks = rankdata(-middles if kind.higher_is_better else middles, axis=0).mean(axis=1)
    known = 1.0 if kind.higher_is_better is not None else np.nan
    return dict(zip(rows, zip(middles.mean(axis=1).tolist(), (ranks * known).tolist(), strict=True), strict=True))


def _beside(study: Study, name: str, labels: Labels, times: Mapping[str, Answer]) -> float:
    if name == "time":
        ratios = [times[label].evidence.mean for label in labels.values() if label in times]
        return float(np.exp(np.mean(ratios))) if ratios else np.nan
    runs = study.of(next(iter(labels.values())))
    return float(runs[name].iloc[0]) if name in runs else np.nan
