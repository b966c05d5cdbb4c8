"""The first that is read: what held, what did not, and how sure that is."""

import math
from collections.abc import Iterator, Sequence

from ablate.report.analysis.analyse import Analysis
from ablate.report.analysis.comparisons import Answer
from ablate.report.analysis.verdicts import Judgement
from ablate.report.output import words
from ablate.report.output.document import Card, Drawn
from ablate.report.output.sections.claims import mark


def cards(analysis: Analysis) -> Iterator[Card]:
    """Yields a card for each claim; those about one metric are drawn on one scale."""
    for judged in analysis.judgements:
        alike = [other for other in analysis.judgements if other.claim.metric == judged.claim.metric]
        span = _span([found.answer for other in alike for found in other.findings if found.answer is not None])
        drawn = [
            _drawn(found.part.text, found.answer, span)
            for found in judged.findings
            if found.answer is not None and found.answer.evidence.pairs
        ]
        word = words.verdict(judged).capitalize()
        note, target = _note(judged), "section-claims"
        yield Card(words.judgement(judged), word, mark(judged.verdict), judged.claim.statement, drawn, note, target)


def comparison_cards(answers: Sequence[Answer]) -> Iterator[Card]:
    """Yields a card for each comparison, of a study without claims."""
    span = _span(answers)
    for answer in answers:
        first, second = answer.question.first, answer.question.second
        drawn = [_drawn(f"{first} − {second}", answer, span)] if answer.evidence.pairs else []
        statement = words.differs(answer)
        note = "" if math.isnan(answer.p) else f"Adjusted p {words.related(answer.p_adjusted)}."
        note = f"{words.pairs(answer)}. {note}".strip()
        yield Card(words.comparison_sentence(answer), "", "", statement, drawn, note, "section-paired-differences")


def _note(judged: Judgement) -> str:
    """Returns what the verdict rests on, or what would settle it."""
    answers = [found.answer for found in judged.findings if found.answer is not None]
    parts = list(dict.fromkeys(words.pairs(answer) for answer in answers if not answer.is_exact))
    said = [f"{words.listed(parts)}."] * bool(parts)
    said += [f"{text[:1].upper()}{text[1:]}." for text in dict.fromkeys(map(words.waits_for, judged.findings)) if text]
    return " ".join(said)


def _span(answers: Sequence[Answer]) -> tuple[float, float]:
    """Returns how far the intervals of comparisons reach, no difference among what they reach."""
    ends = [
        end for each in answers for end in (each.evidence.mean, each.evidence.interval.low, each.evidence.interval.high)
    ]
    finite = [0.0, *filter(math.isfinite, ends)]
    return min(finite), max(finite)


def _drawn(name: str, answer: Answer, span: tuple[float, float]) -> Drawn:
    mean, interval = answer.evidence.mean, answer.evidence.interval
    width, start = span[1] - span[0], span[0]
    if not width:
        width, start = 2.0, -1.0

    def place(value: float) -> float:
        return round(min(100.0, max(0.0, 3 + 94 * (value - start) / width)), 2)

    is_known = not math.isnan(interval.low)
    low, high = map(place, (interval.low, interval.high) if is_known else (mean, mean))
    bounds = words.interval(interval, answer.metric) if is_known else ""
    shown = answer.metric.show_difference(mean)
    return Drawn(name, shown, bounds, place(mean), low, high, place(0.0), answer.all_runs)
