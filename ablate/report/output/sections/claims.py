"""Claims and their verdicts."""

from collections.abc import Iterator, Sequence

from ablate.report.analysis.analyse import Analysis
from ablate.report.analysis.completeness import commands, default_command, is_ours, timing_command
from ablate.report.analysis.verdicts import Finding, Judgement, Verdict
from ablate.report.output import pictures, words
from ablate.report.output.document import Block, Cell, Commands, Table, Text, bounds, text
from ablate.report.output.sections.cells import difference, p_value, pairs, without_normality

_FEWEST_SEEDS = 3
_MARKS = {Verdict.SUPPORTED: "good", Verdict.REFUTED: "bad", Verdict.EQUAL: "equal"}


def mark(verdict: Verdict) -> str:
    """Returns the class that a verdict is marked with."""
    return _MARKS.get(verdict, "open")


def claims(analysis: Analysis) -> Iterator[Block]:
    """Yields the claims, their figure, the evidence, and what to type for those that no runs test."""
    if not analysis.judgements:
        return
    adjusted = "p is of a claim's weakest part, adjusted for the claims about its metric."
    rows = [_claim(analysis, judged) for judged in analysis.judgements]
    yield Table("claims", f"Each claim and its verdict; {adjusted}", rows)
    yield from pictures.claims(analysis)
    rows = [_evidence(judged.claim.id, finding) for judged in analysis.judgements for finding in judged.findings]
    yield Table("evidence", "The evidence, part by part.", rows)
    yield from _to_run(analysis)


def _claim(analysis: Analysis, judged: Judgement) -> list[Cell]:
    claim, kind = judged.claim, analysis.study.metric(judged.claim.metric)
    published = ", ".join(f"{side} {kind.show(value)}" for side, value in claim.published.items())
    return [
        text("claim", claim.statement),
        text("verdict", words.verdict(judged), mark(judged.verdict)),
        p_value("adjusted p", judged.p_adjusted),
        text("expected", "; ".join(claim.expect)),
        text("metric", kind.label),
        text("published", f"{published}{f' ({claim.source})' if claim.source else ''}" or "–"),
    ]


def _evidence(claim: str, finding: Finding) -> list[Cell]:
    start = [
        text("claim", claim),
        text("part", finding.part.text),
        text("verdict", finding.verdict, mark(finding.verdict)),
    ]
    answer = finding.answer
    if answer is None or finding.verdict is Verdict.UNTESTED:
        heads = ("difference", "pairs", "p", "adjusted p", "without normality, p", "pairs needed")
        nothing = [Cell(head, "–") for head in heads]
        return [*start, nothing[0], bounds(finding.missing), *nothing[1:]]
    needed = "–" if finding.verdict is not Verdict.INCONCLUSIVE else words.needed(finding)
    return [
        *start,
        *difference("difference", answer.metric, answer.evidence, answer.all_runs),
        pairs(answer),
        p_value("p", finding.p),
        p_value("adjusted p", finding.p_adjusted),
        Cell("without normality, p", "–") if finding.part.sign == 0 else without_normality(answer),
        Cell("pairs needed", needed, None if finding.seeds_needed is None else finding.seeds_needed[0]),
    ]


def _to_run(analysis: Analysis) -> Iterator[Block]:
    """Yields what to type for claims that no runs test."""
    study = analysis.study
    findings = [finding for judged in analysis.judgements for finding in judged.findings]
    untested = [
        finding
        for finding in findings
        if finding.verdict is Verdict.UNTESTED and not finding.part.missing and not finding.part.question.over
    ]
    if not untested or not is_ours(study):
        return
    typed: list[str] = []
    of_time = [finding for finding in untested if finding.answer is not None and finding.answer.metric.is_cost]
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


def _variants(findings: Sequence[Finding]) -> list[str]:
    sides = [side for finding in findings for side in (finding.part.question.first, finding.part.question.second)]
    return list(dict.fromkeys(side for side in sides if isinstance(side, str)))
