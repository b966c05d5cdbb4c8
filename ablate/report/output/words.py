"""Numbers and findings in words."""

import math
from collections.abc import Iterable, Sequence

from ablate.report.analysis.comparisons import Answer
from ablate.report.analysis.verdicts import Finding, Judgement, Verdict
from ablate.report.study.metrics import Metric
from ablate.stats import ALPHA, Comparison, Interval, Test

# The fewest pairs whose smallest sign-flip p-value, 2/2**n, is below 0.05.
_ENOUGH_SEEDS = 6


def count(number: int, noun: str) -> str:
    """Returns a number of things."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def span(numbers: Iterable[int], noun: str) -> str:
    """Returns how many things there are, from the fewest to the most."""
    found = sorted(numbers)
    return count(found[-1], noun) if found[0] == found[-1] else f"{found[0]} to {found[-1]} {noun}s"


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


def needed(finding: Finding) -> str:
    """Returns how many would settle an inconclusive part."""
    return "unknown" if finding.answer is None else _range(finding.seeds_needed, finding.answer.pairs)


def _range(seeds: tuple[int, int | None] | None, noun: str) -> str:
    if seeds is None:
        return "unknown"
    fewest, most = seeds
    if most is None:
        return f"{fewest:,} {noun}s or more"
    return count(fewest, noun) if fewest == most else f"{fewest:,} to {most:,} {noun}s"


def evidence(answer: Answer) -> str:
    """Returns a test's figures in words."""
    found = answer.evidence
    difference = answer.metric.show_difference(found.mean)
    if answer.is_exact:
        return f"{difference}, in every run"
    if math.isnan(answer.p):
        return f"{difference} ({_bounds(answer)}), {pairs(answer)}, no test"
    p = f"p {related(answer.p)}"
    if answer.family > 1:
        p += f", adjusted for {answer.family} tests {related(answer.p_adjusted)}"
    return f"{difference} ({_bounds(answer)}), {pairs(answer)}, {p}"


def _bounds(answer: Answer) -> str:
    """Returns the interval of the test that decides, in words."""
    bounds = answer.evidence.interval
    if math.isinf(bounds.low):
        return "no bounds yet"
    if math.isnan(bounds.low):
        return "no interval"
    kind = "confidence sequence" if answer.test is Test.ANYTIME else "interval"
    return f"95 % {kind} {interval(bounds, answer.metric)}"


def related(p: float) -> str:
    """Returns a p-value after its sign."""
    shown = p_value(p)
    return shown if shown.startswith("<") else f"= {shown}"


def finding(found: Finding) -> str:
    """Returns what the runs say of a claim's part."""
    answer = found.answer
    if answer is None or found.verdict is Verdict.UNTESTED:
        return f"{found.part.text}: {found.verdict}; {found.missing}"
    text = f"{found.part.text}: {found.verdict}"
    if answer.is_exact:
        return f"{text}; {evidence(answer)}"
    text += f"; {answer.metric.show_difference(answer.evidence.mean)} ({_bounds(answer)}), {pairs(answer)}"
    if not math.isnan(found.p):
        text += f", p {related(found.p)}"
        text += "" if math.isnan(found.p_adjusted) else f", adjusted {related(found.p_adjusted)}"
    if found.verdict is Verdict.INCONCLUSIVE:
        text += f"; {waits_for(found)}"
    return text


def waits_for(found: Finding) -> str:
    """Returns what would settle a part that is not settled; empty if it is."""
    if found.verdict is not Verdict.INCONCLUSIVE:
        return found.missing
    if found.seeds_needed is None:
        return found.missing or "these runs give no hint how many seeds would settle it"
    return f"about {needed(found)} would settle it"


def verdict(judged: Judgement) -> str:
    """Returns a claim's verdict in words, with how few seeds it rests on and what would confirm it."""
    said = "equal within its margin" if judged.verdict is Verdict.EQUAL else str(judged.verdict)
    answers = [found.answer for found in judged.findings if found.answer is not None]
    once = any(answer.test is Test.FIXED and not answer.timing for answer in answers)
    if not judged.verdict.is_settled or not once or not 0 < judged.pairs < _ENOUGH_SEEDS:
        return said
    return f"{said} on {judged.pairs} seeds (rests on normality; {_ENOUGH_SEEDS} could confirm it exactly)"


def judgement(judged: Judgement) -> str:
    """Returns what the runs say of a claim, in a line."""
    if judged.verdict is Verdict.UNTESTED:
        why = listed(dict.fromkeys(found.missing for found in judged.findings if found.missing))
    else:
        why = "; ".join(
            f"{found.part.text}: {found.answer.metric.show_difference(found.answer.evidence.mean)}"
            + ("" if found.answer.is_exact else f", {_bounds(found.answer)}")
            for found in judged.findings
            if found.answer is not None
        )
    if judged.verdict is Verdict.INCONCLUSIVE and judged.seeds_needed is not None:
        why += f"; about {_range(judged.seeds_needed, 'seed')} would settle it"
    return f"{judged.claim.statement} ({why})"


def differs(answer: Answer) -> str:
    """Returns whether the first variant differs from the second."""
    verb = "differs from" if answer.p_adjusted < ALPHA else "does not differ clearly from"
    return f"{answer.question.first} {verb} {answer.question.second} in {answer.metric.label}"


def comparison_sentence(answer: Answer) -> str:
    """Returns in a sentence how the first variant differs from the second."""
    return f"{differs(answer)}: {evidence(answer)}."


def too_few_seeds(comparisons: Sequence[Comparison], is_judged: bool) -> str:
    """Returns a warning where there are no pairs, or so few that the exact test could not reach 0.05.

    Args:
        comparisons: All that the report makes.
        is_judged: Whether there are verdicts, which say themselves how few seeds they rest on.
    """
    pairs = [comparison.pairs for comparison in comparisons if comparison.pairs < _ENOUGH_SEEDS]
    said = ["Some comparisons have no seed in common, or no comparable times, and say nothing."] * (0 in pairs)
    fewest = min((number for number in pairs if number), default=0)
    if fewest == 1:
        said.append("One seed says nothing about the spread between runs: there is no interval and no test. Add seeds.")
    elif fewest and not is_judged:
        said.append(
            f"Few seeds: with {fewest} the exact sign-flip test cannot go below {2.0 ** (1 - fewest):.3g}, "
            "so what is significant here rests on the t-test alone, which takes differences between runs to be normal. "
            f"From {_ENOUGH_SEEDS} seeds on the exact test can confirm it."
        )
    return " ".join(said)
