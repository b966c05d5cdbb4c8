"""Verdicts: what paired tests say of claims."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from ablate import stats
from ablate.report.analysis.claims import Claim, Part
from ablate.report.analysis.comparisons import Answer, Question, find
from ablate.report.study.study import Study


class Verdict(StrEnum):
    """What the runs say of a claim."""

    SUPPORTED = "supported"
    REFUTED = "refuted"
    INCONCLUSIVE = "inconclusive"
    UNTESTED = "untested"


@dataclass(frozen=True)
class Finding:
    """What the runs say of a part.

    Attributes:
        part: The part.
        verdict: Its verdict.
        answer: The test; None if a variant has no runs.
        missing: What is missing, if it is untested.
        seeds_needed: If it is inconclusive, the seeds that would settle it at 80 % power should the differences go on
            as they are; None where there is nothing to go by or over 10,000 would be needed.
    """

    part: Part
    verdict: Verdict
    answer: Answer | None
    missing: str
    seeds_needed: int | None


@dataclass(frozen=True)
class Judgement:
    """A claim with its verdict and the evidence."""

    claim: Claim
    verdict: Verdict
    findings: tuple[Finding, ...]

    @property
    def seeds_needed(self) -> int | None:
        """The seeds that would settle all inconclusive parts, if that can be said."""
        needed = [finding.seeds_needed for finding in self.findings if finding.verdict is Verdict.INCONCLUSIVE]
        return None if not needed or None in needed else max(number for number in needed if number is not None)


def judge(claim: Claim, study: Study, answers: Mapping[Question, Answer]) -> Judgement:
    """Returns a claim's verdict: the worst of its parts'.

    A part is supported if its adjusted p-value is below 0.05 and the difference as claimed; refuted if it is below 0.05
    and against the claim; untested without two comparable pairs; otherwise inconclusive. What is no matter of chance,
    such as parameters, is supported or refuted without a test.

    Args:
        claim: The claim.
        study: The runs.
        answers: Of `families`, to the questions of the claim's parts among others.
    """
    family = sum(question.metric == claim.metric for question in answers)
    findings = tuple(_find(part, study, answers, family) for part in claim.parts)
    verdicts = [finding.verdict for finding in findings]
    order = (Verdict.REFUTED, Verdict.UNTESTED, Verdict.INCONCLUSIVE, Verdict.SUPPORTED)
    return Judgement(claim, next(verdict for verdict in order if verdict in verdicts), findings)


def _find(part: Part, study: Study, answers: Mapping[Question, Answer], family: int) -> Finding:
    sides = [side for side in (part.question.first, part.question.second) if isinstance(side, str)]
    without = [side for side in sides if side not in study.labels]
    if without:
        return Finding(part, Verdict.UNTESTED, None, f"there are no runs of {' and '.join(without)}", None)
    answer = find(answers, part.question)
    mean = answer.comparison.mean
    if answer.metric.is_exact and answer.comparison.pairs:
        holds = abs(mean) <= (part.question.margin or 0) if part.sign == 0 else part.sign * mean > 0
        return Finding(part, Verdict.SUPPORTED if holds else Verdict.REFUTED, answer, "", None)
    if answer.comparison.pairs < 2:
        missing = answer.left_out or f"{' and '.join(sides)} need two seeds or more in common"
        return Finding(part, Verdict.UNTESTED, answer, missing, None)
    if part.sign == 0:
        supported, refuted = answer.p_adjusted < stats.ALPHA, answer.p_outside < stats.ALPHA
    else:
        significant = answer.p_adjusted < stats.ALPHA
        supported, refuted = significant and part.sign * mean > 0, significant and part.sign * mean < 0
    if supported:
        return Finding(part, Verdict.SUPPORTED, answer, "", None)
    if refuted:
        return Finding(part, Verdict.REFUTED, answer, "", None)
    return Finding(part, Verdict.INCONCLUSIVE, answer, "", _seeds_needed(answer, family))


def _seeds_needed(answer: Answer, family: int) -> int | None:
    alpha = stats.ALPHA / family  # of Holm's first step, which is the strictest
    margin = answer.question.margin
    if margin is None:
        return stats.seeds_needed(answer.differences, alpha)
    if answer.metric.is_cost:
        margin = float(np.log1p(margin))
    # The nearer bound decides; each of the two tests is one-sided.
    to_bound = margin - np.sign(answer.comparison.mean) * answer.differences
    return stats.seeds_needed(to_bound, 2 * alpha)
