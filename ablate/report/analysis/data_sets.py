"""Several data sets in one study: what differs in them alone, and comparisons over them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import rankdata

from ablate import stats
from ablate.report.analysis.comparisons import Answer, Question, answers, averaged, find
from ablate.report.study.study import Study
from ablate.report.study.variants import data_key, relabelled

Labels = Mapping[str, str]  # of the variants of a row, by data set
NAME = "data.name"


@dataclass(frozen=True)
class OverDataSets:
    """A variant against the baseline over data sets.

    Attributes:
        question: What is compared.
        answers: On each data set, by its name.
        pooled: The mean over them; of none, with the reason in `why_not`.
        rank: The variant's mean rank among all that have runs on every data set, and the baseline's; NaN where it is
            not known which way is better.
    """

    question: Question
    answers: Mapping[str, Answer]
    pooled: stats.Pooled
    why_not: str
    rank: tuple[float, float]


def over_data_sets(
    study: Study, metrics: Iterable[str], known: Mapping[Question, Answer], test: stats.Test
) -> list[OverDataSets]:
    """Returns each variant against the baseline over the data sets that both have; nothing where there is but one.

    Args:
        study: The runs.
        metrics: What to compare.
        known: Comparisons that the report makes.
        test: The test that decides.
    """
    rows, sets = by_data(study)
    base = next((row for row, labels in rows.items() if study.definition.baseline in (row, *labels.values())), None)
    if len(sets) < 2 or base is None:
        return []
    found = []
    for name in metrics:
        ranks = _ranks(study, name, rows, sets)
        for row in rows:
            if row == base or (question := over(Question(name, row, base), rows)) is None:
                continue
            common = [of for of in sets if of in rows[row] and of in rows[base]]
            asked = {of: Question(name, *pair) for of, pair in zip(common, question.over, strict=True)}
            missing = [one for one in asked.values() if one not in known]
            all_known = {**answers(study, missing, test), **known}
            each = {of: find(all_known, one) for of, one in asked.items()}
            pooled, why_not = averaged(study, list(each.values()))
            both = ranks.get(row, np.nan), ranks.get(base, np.nan)
            found.append(OverDataSets(question, each, pooled, why_not, both))
    return found


def over(question: Question, rows: Mapping[str, Labels]) -> Question | None:
    """Returns a question about two rows as one over the data sets that both have; None where there are none."""
    first, second = rows.get(question.first, {}), rows.get(str(question.second), {})
    pairs = tuple((first[of], second[of]) for of in first if of in second)
    return replace(question, over=pairs) if pairs else None


def _ranks(study: Study, name: str, rows: Mapping[str, Labels], sets: Sequence[str]) -> dict[str, float]:
    """Returns the mean rank over data sets of the rows that have runs on each, 1 for the best."""
    better = study.metric(name).higher_is_better
    middles = {
        row: [study.values(labels[of], name).mean() for of in sets]
        for row, labels in rows.items()
        if all(of in labels for of in sets)
    }
    if better is None or not middles:
        return {}
    values = np.array(list(middles.values()))
    ranks = rankdata(-values if better else values, axis=0).mean(axis=1)
    return dict(zip(middles, ranks.tolist(), strict=True))


def by_data(study: Study, across: str = NAME) -> tuple[dict[str, Labels], list[str]]:
    """Returns the variants that differ in the data set alone as rows by name, and the data sets.

    Args:
        study: The runs.
        across: The key that says the data set; where runs of others have a setting that is called so, it is that. Keys
            beside it that have one value for each data set go with it.
    """
    settings = {label: study.variants[label].configuration for label in study.labels}
    if across == NAME:
        across = data_key(study.variants.values())
    data = {label: of.get(across, "") for label, of in settings.items()}
    sets, section = list(dict.fromkeys(data.values())), across.rpartition(".")[0]
    if len(sets) < 2:
        return {label: {"": label} for label in settings}, [""]
    beside = dict.fromkeys(key for of in settings.values() for key in of if key.rpartition(".")[0] == section)
    going = {key for key in beside if len({(data[label], settings[label].get(key)) for label in data}) == len(sets)}
    same: dict[tuple[str, frozenset[tuple[str, str]]], dict[str, str]] = {}
    for label, of in settings.items():
        kept = frozenset((key, value) for key, value in of.items() if key not in going)
        same.setdefault((study.variants[label].model, kept), {})[data[label]] = label
    rows = {relabelled(next(iter(labels.values())), {section, *going}): labels for labels in same.values()}
    if len(rows) < len(same):
        rows = {next(iter(each.values())): each for each in same.values()}
    return dict(rows), sets
