"""The report as data: results.json, whose form is docs/results.schema.json."""

import json
from collections.abc import Mapping

import pandas as pd

from ablate.files import Plain
from ablate.messages import to_plain
from ablate.report.analysis.ablation import AblationTable
from ablate.report.analysis.analyse import Analysis
from ablate.report.analysis.verdicts import Judgement
from ablate.report.output.words import finding
from ablate.stats import Evidence, mean_interval

FORMAT = 1


def results(analysis: Analysis, tables: Mapping[str, pd.DataFrame]) -> Plain:
    """Returns what results.json holds: NaN and what is missing as null, keys in a fixed order."""
    study, definition = analysis.study, analysis.study.definition
    content = {
        "format": FORMAT,
        "study": {
            "name": definition.name,
            "title": definition.title,
            "baseline": definition.baseline,
            "metric": analysis.metric,
            "margin": definition.margin,
            "test": analysis.looks.test,
            "why_test": analysis.looks.why,
            "pairing": definition.pairing,
            "source": definition.source,
        },
        "variants": [
            {
                "label": label,
                "description": variant.describe(),
                "edits": {name: json.loads(edit.text) for name, edit in variant.edits.items()},
                "settings": variant.settings,
            }
            for label, variant in study.variants.items()
        ],
        "runs": _rows(tables["runs"]),
        "summary": [
            row for name in tables for row in _rows(tables[name]) if "published" in tables[name] and name != "published"
        ],
        "comparisons": _rows(tables["comparisons"]),
        "claims": [_claim(judged) for judged in analysis.judgements],
        "effects": _rows(tables["effects"]),
        "contributions": [
            {"part": part.part, "added": part.added, "left_out": part.left_out} for part in analysis.contributions
        ],
        "shares": [
            {"metric": each.metric, "part": share.factors[0], **_plain_evidence(share.evidence)}
            for each in analysis.factorials
            for share in each.shares
        ],
        "data_sets": _rows(tables["data_sets"]),
        "tables": [_table(table) for table in analysis.tables],
        "published": _rows(tables["published"]),
        "cells": _rows(tables["cells"]),
        "broken": study.broken,
        "mismatches": analysis.mismatches,
    }
    made: Plain = to_plain(content)
    return made


def _plain_evidence(evidence: Evidence) -> Plain:
    return {"mean": evidence.mean, "low": evidence.interval.low, "high": evidence.interval.high, "p": evidence.p}


def _table(table: AblationTable) -> Plain:
    """Returns a table for a paper as data, a row for each value of one of its rows."""
    rows = [
        {
            "row": row.name, "group": row.group, "metric": metric, "data": data, "variant": value.label,
            "runs": list(value.runs), "lost": value.lost, "middle": value.middle, "sd": value.sd,
            "low": mean_interval(value.numbers).low, "high": mean_interval(value.numbers).high,
            "difference": None if value.answer is None else value.answer.evidence.mean,
            "p_adjusted": value.p, "place": value.place or None, "near_best": value.is_near,
        }
        for row in table.rows
        for (metric, data), value in row.values.items()
    ]  # fmt: skip
    of_rows = {
        row.name: {"components": row.components, "beside": row.beside, "averages": row.averages} for row in table.rows
    }
    return {"name": table.name, "against": table.against, "of_rows": of_rows, "values": rows}


def _claim(judged: Judgement) -> Plain:
    claim = judged.claim
    return {
        "id": claim.id,
        "statement": claim.statement,
        "metric": claim.metric,
        "expect": claim.expect,
        "published": claim.published,
        "source": claim.source,
        "verdict": judged.verdict,
        "pairs": judged.pairs,
        "p": judged.p,
        "p_adjusted": judged.p_adjusted,
        "seeds_needed": judged.seeds_needed,
        "parts": [
            {
                "text": one.part.text,
                "verdict": one.verdict,
                "margin": one.part.question.margin,
                "p": one.p,
                "p_adjusted": one.p_adjusted,
                "seeds_needed": one.seeds_needed,
                "words": finding(one),
            }
            for one in judged.findings
        ],
    }


def _rows(table: pd.DataFrame) -> list[Plain]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]
