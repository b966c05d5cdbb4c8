"""Verdicts: what tests say of claims."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from ablate import stats
from ablate.report.analysis.claims import Claim, Part
from ablate.report.analysis.comparisons import Answer, Question, answers, find, swapped
from ablate.report.study.study import Study

FEWEST = 3  # pairs, below which nothing is decided


class Verdict(StrEnum):
    """What the runs say of a claim."""

    SUPPORTED = "supported"
    REFUTED = "refuted"
    EQUAL = "equal"
    INCONCLUSIVE = "inconclusive"
    UNTESTED = "untested"

    @property
    def is_settled(self) -> bool:
        """Whether no more seeds are needed."""
        return self in (Verdict.SUPPORTED, Verdict.REFUTED, Verdict.EQUAL)


@dataclass(frozen=True)
class Finding:
    """What the runs say of a part.

    Attributes:
        part: The part.
        verdict: Its verdict.
        answer: The comparison; None if a variant has no runs.
        missing: What is missing, if it is untested, or decides nothing yet.
        p: The p-value that speaks for the verdict; where it is inconclusive, for the claim.
        p_adjusted: The same after Holm's method: in favour of a claim over the claims, else over their parts.
        seeds_needed: If it is inconclusive, the range of the seeds that would settle it; None for its end if more than
            10,000 could be needed, and None alone where there is nothing to go by.
    """

    part: Part
    verdict: Verdict
    answer: Answer | None
    missing: str = ""
    p: float = np.nan
    p_adjusted: float = np.nan
    seeds_needed: tuple[int, int | None] | None = None


@dataclass(frozen=True)
class Judgement:
    """A claim with its verdict and the evidence.

    Attributes:
        claim: The claim.
        verdict: The verdict: that of its worst part.
        findings: Of its parts.
        p: The p-value in its favour: the largest of its parts'.
        p_adjusted: The same, adjusted for the claims about its metric.
        family: How many of these can be tested, itself among them.
    """

    claim: Claim
    verdict: Verdict
    findings: tuple[Finding, ...]
    p: float = np.nan
    p_adjusted: float = np.nan
    family: int = 1

    @property
    def pairs(self) -> int:
        """The fewest pairs that a part rests on which is a matter of chance; 0 where none is."""
        tested = [each.answer for each in self.findings if each.answer is not None and not each.answer.is_exact]
        return min((answer.evidence.pairs for answer in tested if not answer.question.over), default=0)

    @property
    def seeds_needed(self) -> tuple[int, int | None] | None:
        """The range of the seeds that would settle all inconclusive parts, if that can be said."""
        open_parts = [each.seeds_needed for each in self.findings if each.verdict is Verdict.INCONCLUSIVE]
        needed = [each for each in open_parts if each is not None]
        if not needed or len(needed) < len(open_parts):
            return None
        most = [high for _, high in needed if high is not None]
        return max(low for low, _ in needed), max(most) if len(most) == len(needed) else None


def judge(claims: Sequence[Claim], study: Study, test: stats.Test = stats.Test.FIXED) -> list[Judgement]:
    """Returns the claims' verdicts. The claims about a metric are a family of their own.

    A claim is supported if the largest p-value of its parts, adjusted over the claims, is below 0.05. A part refutes it
    whose difference is against it with a p-value below 0.05, adjusted over the parts of all claims; a part with a
    margin settles it as equal whose difference lies inside it, likewise. Fewer than three pairs decide nothing, and
    runs that gave no number leave a part untested. What is no matter of chance, such as parameters, is supported or
    refuted without a test.

    Args:
        claims: Of the study.
        study: The runs.
        test: The test that decides.
    """
    parts = [part for claim in claims for part in claim.parts if not _without_runs(part, study)]
    found = answers(study, [part.question for part in parts], test)
    judged: dict[str, Judgement] = {}
    for name in dict.fromkeys(claim.metric for claim in claims):
        of_metric = [claim for claim in claims if claim.metric == name]
        judged |= _judge_family(of_metric, study, {q: a for q, a in found.items() if q.metric == name})
    return [judged[claim.id] for claim in claims]


def _judge_family(claims: Sequence[Claim], study: Study, found: Mapping[Question, Answer]) -> dict[str, Judgement]:
    decisive = {question: answer for question, answer in found.items() if _why_untested(answer) is None}
    random = [question for question, answer in decisive.items() if not answer.is_exact]
    either = dict(zip(random, stats.holm([_against(decisive[question]) for question in random]), strict=True))
    inside = dict(zip(random, stats.holm([decisive[question].evidence.p_inside for question in random]), strict=True))
    in_favour = [_in_favour(claim, decisive) for claim in claims]
    adjusted, family = stats.adjust(in_favour)
    judged = {}
    for claim, p, p_adjusted in zip(claims, in_favour, adjusted, strict=True):
        findings = tuple(
            _find(part, study, found, either, inside, p_adjusted < stats.ALPHA, max(1, family)) for part in claim.parts
        )
        verdicts = [finding.verdict for finding in findings]
        order = (Verdict.REFUTED, Verdict.UNTESTED, Verdict.EQUAL, Verdict.INCONCLUSIVE, Verdict.SUPPORTED)
        verdict = next(verdict for verdict in order if verdict in verdicts)
        judged[claim.id] = Judgement(claim, verdict, findings, p, p_adjusted, max(1, family))
    return judged


def _against(answer: Answer) -> float:
    """Returns the p-value that can refute: of a difference or, of an equality, of one outside its margin."""
    return answer.evidence.p_outside if answer.question.is_equality else answer.p


def _in_favour(claim: Claim, found: Mapping[Question, Answer]) -> float:
    """Returns the largest of the p-values in favour of a claim's parts; NaN if one is not tested or none is random."""
    p_values = []
    for part in claim.parts:
        if part.question not in found and swapped(part.question) not in found:
            return np.nan
        answer = find(found, part.question)
        if not answer.is_exact:
            p_values.append(_p_in_favour(part, answer))
    return max(p_values, default=np.nan)


def _p_in_favour(part: Part, answer: Answer) -> float:
    if part.sign == 0:
        return answer.evidence.p_inside
    return answer.p if part.sign * answer.evidence.mean > 0 else 1.0


def _find(
    part: Part,
    study: Study,
    found: Mapping[Question, Answer],
    either: Mapping[Question, float],
    inside: Mapping[Question, float],
    is_supported: bool,
    family: int,
) -> Finding:
    if without := _without_runs(part, study):
        return Finding(part, Verdict.UNTESTED, None, without)
    answer, question = find(found, part.question), part.question
    key = question if question in found else swapped(question)
    mean = answer.evidence.mean
    if (why := _why_untested(answer)) is not None:
        return Finding(part, Verdict.UNTESTED, answer, why)
    if answer.is_exact:
        holds = abs(mean) <= (question.margin or 0) if part.sign == 0 else part.sign * mean > 0
        return Finding(part, Verdict.SUPPORTED if holds else Verdict.REFUTED, answer)
    p = _p_in_favour(part, answer)
    if answer.evidence.pairs < FEWEST:
        what = "data sets" if question.over else "pairs"
        missing = f"{answer.evidence.pairs} {what} decide nothing, it takes {FEWEST}"
        return Finding(part, Verdict.INCONCLUSIVE, answer, missing, p)
    if is_supported or p * family < stats.ALPHA:
        return Finding(part, Verdict.SUPPORTED, answer, "", p, min(1.0, p * family))
    if either[key] < stats.ALPHA and (part.sign == 0 or part.sign * mean < 0):
        return Finding(part, Verdict.REFUTED, answer, "", _against(answer), either[key])
    if part.sign != 0 and inside[key] < stats.ALPHA:
        return Finding(part, Verdict.EQUAL, answer, "", answer.evidence.p_inside, inside[key])
    if question.over:
        return Finding(part, Verdict.INCONCLUSIVE, answer, "", p, min(1.0, p * family))
    is_anytime = answer.test is stats.Test.ANYTIME
    needed = stats.seeds_range(
        answer.differences, stats.ALPHA / family, answer.margin, is_anytime, question.is_equality
    )
    if needed is not None:  # more than there are
        fewest = max(needed[0], answer.evidence.pairs + 1)
        needed = (fewest, None if needed[1] is None else max(fewest, needed[1]))
    return Finding(part, Verdict.INCONCLUSIVE, answer, "", p, min(1.0, p * family), needed)


def _without_runs(part: Part, study: Study) -> str:
    """Returns why there is nothing to compare; empty if there is."""
    sides = (part.question.first, part.question.second)
    without = [side for side in sides if isinstance(side, str) and side not in study.labels and not part.question.over]
    return part.missing or f"there are no runs of {' and '.join(without)}" * bool(without)


def _why_untested(answer: Answer) -> str | None:
    """Returns why a comparison cannot be judged; None if it can."""
    question = answer.question
    if answer.lost:
        seeds = ", ".join(map(str, answer.lost[:5]))
        return (
            f"runs of {len(answer.lost)} seeds ({seeds}{', …' if len(answer.lost) > 5 else ''}) gave no value, and the "
            "others may not be like them"
        )
    if answer.evidence.pairs < (1 if answer.is_exact else 2):
        sides = [side for side in (question.first, question.second) if isinstance(side, str)]
        return answer.left_out or f"{' and '.join(sides)} need two seeds or more in common"
    return None
