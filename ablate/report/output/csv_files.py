"""The numbers of a report as frames: what the CSV files hold."""

import math
from collections.abc import Iterable

import pandas as pd

from ablate.report.analysis.analyse import Analysis
from ablate.report.analysis.comparisons import Answer
from ablate.report.analysis.summary import accuracy_table, published_table, runs_table, summary_table, time_table
from ablate.report.output.document import Table
from ablate.report.output.words import finding


def frames(analysis: Analysis) -> dict[str, pd.DataFrame]:
    """Returns the frames by name: runs, epochs, accuracy, time, published, comparisons, claims, effects, and cells.

    Of a metric that is compared and stands in neither of accuracy and time, there is `metric_<name>`.
    """
    study = analysis.study
    tables = {
        "accuracy": accuracy_table(study),
        "time": time_table(study),
        "published": published_table(study),
        "runs": runs_table(study),
        "comparisons": pd.DataFrame([_comparison(answer) for answer in _answers(analysis)]),
        "claims": _claims(analysis),
        "effects": _effects(analysis),
        "data_sets": _over_data(analysis),
        "cells": pd.DataFrame([vars(cell) for cell in analysis.cells]),
    }
    shown = {name for table in ("accuracy", "time") if not tables[table].empty for name in tables[table]["metric"]}
    for name in analysis.questions:
        if name not in shown:
            tables[f"metric_{name}"] = summary_table(study, [name])
    return tables


def printed(table: Table) -> pd.DataFrame:
    """Returns a table as it is printed; what marks its cells stands in columns of its own."""
    groups = [title for title, rows in table.in_parts for _ in rows]
    columns = [("group", groups)] if any(groups) else []
    for cells in zip(*table.rows, strict=True):
        marks = [" ".join(filter(None, [cell.mark, cell.notes])) for cell in cells]
        columns += [(cells[0].head, [cell.text for cell in cells])]
        columns += [(f"{cells[0].head} marks", marks)] if any(marks) else []
    return pd.DataFrame(dict(enumerate(values for _, values in columns))).set_axis(
        [head for head, _ in columns], axis=1
    )


def _over_data(analysis: Analysis) -> pd.DataFrame:
    """Returns a row for each comparison over data sets; of times, differences are of natural logarithms."""
    return pd.DataFrame(
        [
            {
                "metric": each.question.metric, "first": each.question.first, "second": each.question.second,
                "data_sets": len(each.answers), "data": ", ".join(each.answers), "mean": each.pooled.mean,
                "low": each.pooled.interval.low, "high": each.pooled.interval.high, "p": each.pooled.p,
                "new_low": each.pooled.prediction.low, "new_high": each.pooled.prediction.high,
                "sd_between": each.pooled.deviation, "rank_first": each.rank[0], "rank_second": each.rank[1],
                "why_not": each.why_not,
            }
            for each in analysis.over_data
        ]
    )  # fmt: skip


def _answers(analysis: Analysis) -> Iterable[Answer]:
    return sorted(analysis.answers.values(), key=lambda answer: answer.question.metric)


def _comparison(answer: Answer) -> dict[str, object]:
    """Returns an answer as a row; of times, differences are of natural logarithms."""
    question, found, evidence = answer.question, answer.comparison, answer.evidence
    return {
        "metric": question.metric,
        "first": question.first,
        "second": question.second,
        "margin": question.margin,
        "on_logarithms": answer.metric.is_cost,
        "test": str(answer.test),
        "pairs": evidence.pairs,
        "mean": evidence.mean,
        "low": evidence.interval.low,
        "high": evidence.interval.high,
        "p_t": found.p_t,
        "p": answer.p,
        "p_adjusted": answer.p_adjusted,
        "family": answer.family,
        "p_sign_flip": found.p_sign_flip,
        "p_smallest": found.p_smallest,
        "superiority": found.superiority,
        "wins": found.wins,
        "ties": found.ties,
        "standardised": found.standardised,
        "correlation": math.nan if answer.pairing is None else answer.pairing.correlation,
        "gain": math.nan if answer.pairing is None else answer.pairing.gain,
        "welch_low": answer.welch.low,
        "welch_high": answer.welch.high,
        "pairs_are": f"{answer.pairs}s",
        "timing": answer.timing,
        "seeds": " ".join(map(str, answer.seeds)),
        "runs": " ".join(answer.all_runs),
    }


def _claims(analysis: Analysis) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "claim": judged.claim.id,
                "statement": judged.claim.statement,
                "verdict": str(judged.verdict),
                "metric": judged.claim.metric,
                "part": found.part.text,
                "part_verdict": str(found.verdict),
                "test": "" if found.answer is None else str(found.answer.test),
                "p": found.p,
                "p_adjusted": found.p_adjusted,
                "p_of_claim": judged.p,
                "p_of_claim_adjusted": judged.p_adjusted,
                "seeds_needed": None if found.seeds_needed is None else found.seeds_needed[0],
                "seeds_needed_at_most": None if found.seeds_needed is None else found.seeds_needed[1],
                "words": finding(found),
            }
            for judged in analysis.judgements
            for found in judged.findings
        ]
    )


def _effects(analysis: Analysis) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "metric": found.metric,
                "factors": " ".join(effect.factors),
                "of": " ".join(found.factorial.factors),
                "full": found.factorial.full,
                "estimate": effect.evidence.mean,
                "low": effect.evidence.interval.low,
                "high": effect.evidence.interval.high,
                "p": effect.evidence.p,
                "p_adjusted": adjusted,
                "timing": found.timing,
                "seeds": "" if found.timing else " ".join(map(str, found.pairs)),
            }
            for found in analysis.factorials
            for effect, adjusted in zip(found.effects, found.adjusted, strict=True)
        ]
    )
