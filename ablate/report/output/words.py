"""Numbers and findings in words."""

import math
from collections.abc import Iterable, Sequence

from ablate.report.analysis.comparisons import Answer
from ablate.report.analysis.verdicts import Finding, Judgement, Verdict
from ablate.report.study.metrics import Metric
from ablate.stats import ALPHA, Comparison, Interval

# The fewest pairs whose smallest sign-flip p-value, 2/2**n, is below 0.05.
_ENOUGH_SEEDS = 6


def count(number: int, noun: str) -> str:
    """Returns a number of things."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def listed(items: Iterable[str]) -> str:
    """Returns items as an enumeration."""
    items = list(items)
    return " and ".join(items) if len(items) < 3 else f"{', '.join(items[:-1])} and {items[-1]}"


def numbers(values: Iterable[int]) -> str:
    """Returns whole numbers as an enumeration, or as a range if they are many and consecutive."""
    ordered = sorted(values)
    if len(ordered) > 4 and ordered == list(range(ordered[0], ordered[-1] + 1)):
        return f"{ordered[0]} to {ordered[-1]}"
    return listed(map(str, ordered))


def p_value(p: float) -> str:
    """Returns a p-value to three digits."""
    if math.isnan(p):
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def interval(bounds: Interval, metric: Metric) -> str:
    """Returns an interval of differences."""
    return metric.show_interval(bounds.low, bounds.high)


def pairs(answer: Answer) -> str:
    """Returns how many seeds, or rounds of a timing, a comparison rests on."""
    return count(answer.comparison.pairs, answer.pairs)


def needed(found: Finding) -> str:
    """Returns how many would settle an inconclusive part."""
    if found.answer is None or found.seeds_needed is None:
        return "unknown"
    return count(found.seeds_needed, found.answer.pairs)


def evidence(answer: Answer) -> str:
    """Returns a test's figures in words."""
    comparison = answer.comparison
    difference = answer.metric.show_difference(comparison.mean)
    if answer.metric.is_exact:
        return f"{difference}, in every run"
    bounds = interval(comparison.interval, answer.metric)
    shown = "no interval" if bounds == "–" else f"95 % interval {bounds}"
    if math.isnan(answer.p):
        return f"{difference} ({shown}), {pairs(answer)}, no test"
    p = f"p {_related(answer.p)}"
    if answer.family > 1:
        p += f", adjusted for {answer.family} tests {_related(answer.p_adjusted)}"
    return f"{difference} ({shown}), {pairs(answer)}, {p}"


def _related(p: float) -> str:
    shown = p_value(p)
    return shown if shown.startswith("<") else f"= {shown}"


def finding(found: Finding) -> str:
    """Returns what the runs say of a claim's part."""
    if found.answer is None or found.verdict is Verdict.UNTESTED:
        return f"{found.part.text}: {found.verdict}; {found.missing}"
    text = f"{found.part.text}: {found.verdict}; {evidence(found.answer)}"
    if found.verdict is Verdict.INCONCLUSIVE:
        if found.seeds_needed is None:
            text += "; these runs give no hint how many seeds would settle it"
        else:
            more = found.seeds_needed - found.answer.comparison.pairs
            text += f"; about {needed(found)} would settle it at 80 % power"
            text += f", {more} more" if more > 0 else ""
    return text


def judgement(judged: Judgement) -> str:
    """Returns what the runs say of a claim, in a line."""
    if judged.verdict is Verdict.UNTESTED:
        why = listed(dict.fromkeys(found.missing for found in judged.findings if found.missing))
    else:
        why = "; ".join(
            f"{found.part.text}: {found.answer.metric.show_difference(found.answer.comparison.mean)}"
            + (
                ""
                if found.answer.metric.is_exact
                else f", 95 % interval {interval(found.answer.comparison.interval, found.answer.metric)}"
            )
            for found in judged.findings
            if found.answer is not None
        )
    if judged.verdict is Verdict.INCONCLUSIVE and judged.seeds_needed is not None:
        most = next(found for found in judged.findings if found.seeds_needed == judged.seeds_needed)
        why += f"; about {needed(most)} would settle it"
    return f"{judged.claim.statement} ({why})"


def comparison_sentence(answer: Answer) -> str:
    """Returns in a sentence how the first variant differs from the second."""
    verb = "differs from" if answer.p_adjusted < ALPHA else "does not differ clearly from"
    return f"{answer.question.first} {verb} {answer.question.second} in {answer.metric.label}: {evidence(answer)}."


def too_few_seeds(comparisons: Sequence[Comparison]) -> str:
    """Returns a warning where the exact test could not reach 0.05; nothing if it could everywhere."""
    pairs = [comparison.pairs for comparison in comparisons if comparison.pairs < _ENOUGH_SEEDS]
    if not pairs:
        return ""
    nothing = "Some comparisons have no seed in common, or no comparable times, and say nothing. " if 0 in pairs else ""
    fewest = min((number for number in pairs if number), default=0)
    if fewest == 0:
        return nothing.rstrip()
    if fewest == 1:
        return nothing + (
            "One seed says nothing about the spread between runs: there is no interval and no test. Add seeds."
        )
    return (
        f"{nothing}Few seeds: with {fewest} the exact sign-flip test cannot go below {2.0 ** (1 - fewest):.3g}, "
        "so what is significant here rests on the t-test alone, which takes differences between runs to be normal. "
        f"From {_ENOUGH_SEEDS} seeds on the exact test can confirm it."
    )
