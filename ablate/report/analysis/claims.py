"""Claims: conclusions as data, read into the questions that settle them.

A claim is a mapping with

    id         its name
    statement  what is claimed, in words
    metric     a metric of the runs; the study's own if left out
    expect     one expectation or a list of them, all of which have to hold:
               an ordering `plain > bn_dropout > dropout`, a bound `plain > 0.6`, or an equality within a margin
               `dropout = plain within 0.01` (of a time, within that share of it); a number is one unless a variant has
               it as its name. An ordering of three says something of each two of them. Of several data sets,
               `everywhere: a > b` is of each of them, and `on_average: a > b` of their random-effects mean
    margin     the smallest difference that matters; the study's own, of its metric, if left out. An ordering is settled
               as equal where the difference is found to be smaller
    published  figures of the source, by variant
    source     where in the source they stand
"""

import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ablate.messages import nearest
from ablate.report.analysis.comparisons import Question
from ablate.report.analysis.data_sets import Labels, by_data, over
from ablate.report.study.metrics import check_metric, metric
from ablate.report.study.study import Study
from ablate.report.study.variants import parse_label

_OVER = ("everywhere", "on_average")
_KEYS = ("id", "statement", "metric", "expect", "margin", "published", "source")


@dataclass(frozen=True)
class Part:
    """One expectation between two variants: `first > second` or, with a margin, `first = second`.

    Attributes:
        text: As in the claim.
        question: The test that settles it.
        sign: 1 if the first is expected higher, -1 if lower, 0 if equal within the margin.
        missing: Why it cannot be tested, whatever runs there are.
    """

    text: str
    question: Question
    sign: int
    missing: str = ""


@dataclass(frozen=True)
class Claim:
    """A claim that has been read."""

    id: str
    statement: str
    metric: str
    expect: tuple[str, ...]
    parts: tuple[Part, ...]
    published: Mapping[str, float]
    source: str


def read_claims(raw: Sequence[object], study: Study, known_models: Iterable[str]) -> list[Claim]:
    """Reads a study's claims.

    Args:
        raw: As they stand in the study's definition.
        study: The runs, whose variants and metrics a claim may name.
        known_models: Model options, which a claim may name before they have runs.

    Raises:
        ValueError: A claim has not the right form, or names an unknown variant or metric; the message has the nearest.
    """
    claims = [_read(f"claims[{number}]", item, study, list(known_models)) for number, item in enumerate(raw)]
    for number, claim in enumerate(claims):
        if claim.id in [other.id for other in claims[:number]]:
            raise ValueError(f"claims[{number}].id={claim.id}: another claim has this id; give each its own")
    return claims


def _read(where: str, raw: object, study: Study, models: Sequence[str]) -> Claim:
    if not isinstance(raw, Mapping):
        raise ValueError(f"{where}: a claim is a mapping with id, statement and expect")
    for key in raw:
        if key not in _KEYS:
            raise ValueError(f"{where}.{key}: a claim has no such key; {nearest(str(key), _KEYS)}")
    for key in ("id", "statement", "expect"):
        if not raw.get(key):
            raise ValueError(f"{where}.{key} is not set")
    where = f"claim {raw['id']}"
    name = check_metric(str(raw.get("metric") or study.definition.metric), study.metrics, f"{where}: metric")
    expect = raw["expect"] if isinstance(raw["expect"], list) else [raw["expect"]]
    known = (*study.variants, *models)
    margin = _claim_margin(raw.get("margin"), f"{where}: margin", name, study)
    rows, _ = by_data(study)
    parts = [
        part for text in expect for part in _over_data(f"{where}: expect", str(text), name, known, margin, study, rows)
    ]
    _check_units(where, [str(text) for text in (*expect, raw.get("margin") or "")], parts, study, name)
    published = raw.get("published") or {}
    if not isinstance(published, Mapping):
        raise ValueError(f"{where}: published must be a mapping from variants to numbers")
    sides = [side for part in parts for side in (part.question.first, part.question.second) if isinstance(side, str)]
    for side in [*sides, *map(str, published)]:
        if side not in (*study.variants, *rows) and parse_label(side)[0] not in models:
            raise ValueError(f"{where}: there is no variant {side!r}; {nearest(side, known)}")
    for side, value in published.items():
        if not isinstance(side, str):  # 0.10 and true are other values to YAML
            raise ValueError(f"{where}: published.{side}: put the variant's name in quotes")
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{where}: published.{side}={value}: must be a number")
    return Claim(
        id=str(raw["id"]),
        statement=str(raw["statement"]).strip(),
        metric=name,
        expect=tuple(map(str, expect)),
        parts=tuple(parts),
        published={str(side): float(value) for side, value in published.items()},
        source=str(raw.get("source") or "").strip(),
    )


def _claim_margin(raw: object, where: str, name: str, study: Study) -> float | None:
    """Returns a claim's margin: its own, or the study's if it is of the study's metric."""
    if raw is None:
        of_study = study.metric(study.definition.metric)
        kind = study.metric(name)
        is_same = (kind.split, kind.quantity, kind.column) == (of_study.split, of_study.quantity, of_study.column)
        return study.definition.margin if is_same else None
    margin = _number(str(raw))
    if isinstance(raw, bool) or margin is None or not 0 < margin < math.inf:
        raise ValueError(f"{where}={raw}: must be a number above 0, the smallest difference that matters")
    return margin


def _check_units(where: str, texts: Iterable[str], parts: Iterable[Part], study: Study, name: str) -> None:
    """Raises ValueError where a number and the metric's values are not in one unit."""
    kind, values = study.metric(name), study.runs[name]
    within_one = not (values.abs() > 1).any()
    bounds = [part.question.second for part in parts if not isinstance(part.question.second, str)]
    margins = [part.question.margin for part in parts if part.question.margin is not None]
    if kind.is_cost:
        too_large = [margin for margin in margins if margin >= 1]
        if too_large:
            raise ValueError(
                f"{where}: a margin of {too_large[0]:g} on {name}, where variants are compared by their ratio: give "
                "the share, such as 0.05 or 5 %"
            )
    elif kind.kind == "share" and within_one:
        too_large = [number for number in (*bounds, *margins) if abs(number) > 1]
        if too_large:
            raise ValueError(
                f"{where}: {name} is a share between 0 and 1, and {too_large[0]:g} is not: a percentage? Write "
                f"{too_large[0]:g} % or {too_large[0] / 100:g}"
            )
    elif not (kind.kind == "number" and within_one) and any(re.search(r"\d\s*%", text) for text in texts):
        raise ValueError(
            f"{where}: {name} has values from {values.min():g} to {values.max():g}, which are no shares: write the "
            "number in their unit, without %"
        )


def _over_data(
    where: str, text: str, name: str, known: Sequence[str], margin: float | None, study: Study,
    rows: Mapping[str, Labels],
) -> Iterable[Part]:  # fmt: skip
    """Yields the comparisons of an expectation: those of each data set, or of their mean, if it says so."""
    how, colon, ordering = text.partition(": ")
    sets = list(dict.fromkeys(of for labels in rows.values() for of in labels))
    if not colon or how not in _OVER:
        for part in _parts(where, text, name, known, margin):
            sides = [side for side in (part.question.first, part.question.second) if side not in study.labels]
            several = [side for side in sides if len(rows.get(str(side), {})) > 1]
            yield (
                part
                if not several
                else replace(
                    part,
                    missing=f"{several[0]} has runs on {len(sets)} data sets: say `everywhere: …` or `on_average: …`",
                )
            )
        return
    for part in _parts(where, ordering, name, [*rows, *known], margin):
        first, second = part.question.first, part.question.second
        if not isinstance(second, str):
            raise ValueError(f"{where}: {text!r}: over data sets, two variants are compared")
        if len(sets) < 2:
            yield replace(part, text=f"{how}: {part.text}", missing="the runs are of one data set, and not several")
        elif how == "on_average":
            question = over(part.question, rows)
            missing = "" if question is not None else f"{first} and {second} have no data set in common"
            yield replace(part, text=f"{how}: {part.text}", question=question or part.question, missing=missing)
        else:
            for of in sets:
                one, other = rows.get(first, {}).get(of), rows.get(second, {}).get(of)
                missing = "" if one and other else f"there are no runs of {second if one else first} on {of}"
                question = replace(part.question, first=one or first, second=other or second)
                yield replace(part, text=f"{part.text} on {of}", question=question, missing=missing)


def _parts(where: str, text: str, name: str, known: Sequence[str], margin: float | None) -> Iterable[Part]:
    """Yields the comparisons of each two of an ordering, neighbours first, or the one of an equality."""
    tokens = re.split(r"\s+(>|<|=)\s+", text.strip())
    sides, signs = tokens[::2], tokens[1::2]
    if not signs or not all(sides) or len(set(signs)) > 1 or ("=" in signs and len(signs) > 1):
        raise ValueError(
            f"{where}: {text!r} is none of `one > other > third`, `one < other`, `one > 0.6` and "
            "`one = other within 0.01`; put spaces around the sign"
        )
    if "=" in signs:
        first, second = sides
        match = re.fullmatch(r"(.+?)\s+within\s+(.+)", second)
        within = _number(match[2]) if match else None
        if match is None or within is None or not 0 < within < math.inf:
            raise ValueError(f"{where}: {text!r} has no margin above 0; say `{first} = … within 0.01`")
        yield _part(where, text, name, _side(first, known), _side(match[1], known), "=", within)
        return
    pairs = sorted(itertools.combinations(range(len(sides)), 2), key=lambda pair: pair[1] - pair[0])
    for one, other in pairs:
        ends = _side(sides[one], known), _side(sides[other], known)
        if other > one + 1 and not any(isinstance(end, str) for end in ends):
            continue  # of `0.7 > plain > 0.6`
        yield _part(where, f"{sides[one]} {signs[0]} {sides[other]}", name, *ends, signs[0], margin)


def _side(text: str, known: Sequence[str]) -> str | float:
    """Returns what stands at a side of a sign: a number, unless a variant is called so."""
    number = None if text in known else _number(text)
    return text if number is None else number


def _part(
    where: str, text: str, name: str, first: str | float, second: str | float, sign: str, margin: float | None
) -> Part:
    if not isinstance(first, str):
        first, second, sign = second, first, {">": "<", "<": ">"}.get(sign, sign)
    if not isinstance(first, str) or first == second:
        raise ValueError(f"{where}: {text!r} compares nothing; name two variants, or a variant and a number")
    if not isinstance(second, str) and metric(name).is_cost and not second > 0:
        raise ValueError(f"{where}: {text!r}: a time is above 0")
    return Part(text, Question(name, first, second, margin, sign == "="), {">": 1, "<": -1, "=": 0}[sign])


def _number(text: str) -> float | None:
    """Returns a number or a percentage, None for anything else."""
    match = re.fullmatch(r"([-+]?[\d.]+(?:[eE][-+]?\d+)?)\s*(%?)", text.strip())
    try:
        return float(match[1]) / (100 if match[2] else 1) if match else None
    except ValueError:
        return None
