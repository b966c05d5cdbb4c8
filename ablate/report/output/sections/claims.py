"""Claims and their verdicts."""

import math
from collections.abc import Iterable, Iterator, Mapping

from ablate.report.analysis.analyse import Analysis
from ablate.report.analysis.completeness import commands, default_command, is_ours, timing_command
from ablate.report.analysis.verdicts import Finding, Verdict
from ablate.report.output import words
from ablate.report.output.document import Block, Cell, Commands, Picture, Table, Text, bounds, number, text
from ablate.report.study.metrics import metric

_FEWEST_SEEDS = 3
MARKS = {Verdict.SUPPORTED: "good", Verdict.REFUTED: "bad"}


def claims(analysis: Analysis, drawn: Mapping[str, Picture]) -> Iterator[Block]:
    """Yields the claims, their figure, the evidence, and what to type for those that no runs test."""
    if not analysis.judgements:
        return
    rows = []
    for judged in analysis.judgements:
        claim = judged.claim
        published = ", ".join(f"{side} {metric(claim.metric).show(value)}" for side, value in claim.published.items())
        rows.append(
            [
                Cell(claim.statement),
                Cell(judged.verdict, mark=MARKS.get(judged.verdict, "open")),
                Cell("; ".join(claim.expect)),
                Cell(metric(claim.metric).label),
                Cell(f"{published}{f' ({claim.source})' if claim.source else ''}" or "–"),
            ]
        )
    columns = [text(head) for head in ("claim", "verdict", "expected", "metric", "published")]
    yield Table("claims", "Each claim and its verdict.", columns, rows)
    if "claims" in drawn:
        yield drawn["claims"]
    rows = [_evidence(judged.claim.id, finding) for judged in analysis.judgements for finding in judged.findings]
    columns = [text("claim"), text("part"), text("verdict"), number("difference"), bounds()]
    columns += [number(head) for head in ("pairs", "p", "adjusted p", "exact p", "pairs needed")]
    yield Table("evidence", "The evidence, part by part.", columns, rows)
    yield from _to_run(analysis)


def _evidence(claim: str, finding: Finding) -> list[Cell]:
    start = [Cell(claim), Cell(finding.part.text), Cell(finding.verdict, mark=MARKS.get(finding.verdict, "open"))]
    if finding.answer is None or finding.verdict is Verdict.UNTESTED:
        return [*start, Cell("–"), Cell(finding.missing), *[Cell("–")] * 5]
    answer, comparison = finding.answer, finding.answer.comparison
    against_equality = finding.part.sign == 0 and finding.verdict is Verdict.REFUTED
    # What speaks against equality is known adjusted only.
    alone, p = (math.nan, answer.p_outside) if against_equality else (answer.p, answer.p_adjusted)
    needed = "–" if finding.verdict is not Verdict.INCONCLUSIVE else words.needed(finding)
    return [
        *start,
        Cell(answer.metric.show_difference(comparison.mean), comparison.mean),
        Cell(words.interval(comparison.interval, answer.metric)),
        Cell(words.pairs(answer), comparison.pairs),
        Cell(words.p_value(alone), alone),
        Cell(words.p_value(p), p),
        Cell(words.p_value(comparison.p_sign_flip), comparison.p_sign_flip),
        Cell(needed, finding.seeds_needed),
    ]


def _to_run(analysis: Analysis) -> Iterator[Block]:
    """What to type for claims that no runs test."""
    study = analysis.study
    untested = [
        finding for judged in analysis.judgements for finding in judged.findings if finding.verdict is Verdict.UNTESTED
    ]
    if not untested or not is_ours(study):
        return
    typed: list[str] = []
    of_time = [
        finding for finding in untested if finding.answer is not None and metric(finding.part.question.metric).is_cost
    ]
    if of_time and (command := timing_command(study, _variants(of_time))) is not None:
        typed.append(command)
        untested = [finding for finding in untested if finding not in of_time]
    if untested:
        seeds = {*map(int, study.runs["seed"])}
        if any(finding.answer is not None and finding.answer.left_out for finding in untested):
            seeds = {max(seeds) + number for number in range(1, _FEWEST_SEEDS + 1)}  # all of them on this machine
        elif len(seeds) < _FEWEST_SEEDS:
            seeds |= {*range(_FEWEST_SEEDS)}
        typed += commands(study, _variants(untested), seeds) or filter(None, [default_command(study)])
    yield Text("To test what is untested:")
    yield Commands(typed)


def _variants(findings: Iterable[Finding]) -> list[str]:
    sides = [side for finding in findings for side in (finding.part.question.first, finding.part.question.second)]
    return list(dict.fromkeys(side for side in sides if isinstance(side, str)))
