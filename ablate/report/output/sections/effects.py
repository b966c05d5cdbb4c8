"""Main effects, interactions and contributions."""

from collections.abc import Iterator, Sequence

from ablate.report.analysis.analyse import Analysis, FactorialEffects
from ablate.report.analysis.comparisons import Question, find
from ablate.report.analysis.completeness import command_of_edits
from ablate.report.output import pictures, words
from ablate.report.output.document import Block, Cell, Commands, Table, Text, bounds, text
from ablate.report.output.sections.cells import difference, p_value
from ablate.report.study.metrics import Metric


def effects(analysis: Analysis) -> Iterator[Block]:
    """Yields what each part contributes (which leads a design), and the effects of factorials or what they miss."""
    design = analysis.study.definition.design
    if design is not None and analysis.contributions:
        yield Text(f"The variants are a design, {design}, of {words.listed([p.part for p in analysis.contributions])}.")
        yield _contributions(analysis)
    yield from pictures.effects(analysis)
    for each in analysis.factorials:
        if each.effects:
            yield _effects_table(each, analysis.study.metric(each.metric), _runs(analysis, each))
    if design is None and analysis.contributions:
        yield _contributions(analysis)
    for each in analysis.factorials:
        if each.left_out and not each.factorial.missing:
            yield Text(
                f"No effects of {each.factorial.name} on {analysis.study.metric(each.metric).label}: {each.left_out}."
            )
    if design not in (None, "factorial"):
        return
    incomplete = {each.factorial.full: each.factorial for each in analysis.factorials if each.factorial.missing}
    for factorial in incomplete.values():
        missing = [words.listed(cell) or "none" for cell in factorial.missing]
        typed = [command_of_edits(analysis.study, factorial.full, cell) for cell in factorial.missing]
        known = [command for command in typed if command is not None]
        yield Text(
            f"The combinations of {factorial.name} are a factorial but for {words.listed(missing)} alone. "
            f"With these runs there are main effects and interactions{':' if known else '.'}"
        )
        yield from [Commands(known)] if known else []


def _effects_table(each: FactorialEffects, kind: Metric, runs: Sequence[str]) -> Table:
    over = words.count(len(each.pairs), "round" if each.timing else "seed")
    rows = [
        [
            text("effect", " × ".join(effect.factors)),
            text("kind", "main effect" if len(effect.factors) == 1 else "interaction"),
            *difference("estimate", kind, effect.evidence, runs),
            p_value("p", effect.evidence.p),
            p_value("adjusted p", p),
        ]
        for effect, p in zip(each.effects, each.adjusted, strict=True)
    ]
    caption = (
        f"Effects of {each.factorial.name} on {kind.label}, "
        f"over {over}. A main effect is the mean change over the levels of the "
        "others; an interaction how much the change one makes grows with the other in. The adjusted p is for the "
        f"{words.count(len(each.effects), 'test')} of this table."
    )
    return Table(f"effects_{each.factorial.key}_{each.metric}", caption, rows)


def _runs(analysis: Analysis, each: FactorialEffects) -> list[str]:
    """Returns the runs that effects rest on; none where they rest on a timing."""
    labels = [label for label in each.factorial.cells.values() if label is not None and not each.timing]
    frames = [of[of.index.isin(each.pairs)] for of in map(analysis.study.of, labels)]
    return [str(run) for of in frames for run in of["run"]]


def _contributions(analysis: Analysis) -> Table:
    main = analysis.study.metric(analysis.metric)
    complete = [each for each in analysis.factorials if each.shares and each.metric == main.name and not each.timing]
    shares = {share.factors[0]: share.evidence for each in complete[:1] for share in each.shares}
    whole = [run for each in complete[:1] for run in _runs(analysis, each)]

    def shown(head: str, pair: tuple[str, str] | None) -> list[Cell]:
        if pair is None:
            return [Cell(head, "not run"), bounds("–"), Cell("adjusted p", "–")]
        answer = find(analysis.answers, Question(main.name, *pair))
        return [*difference(head, main, answer.evidence, answer.all_runs), p_value("adjusted p", answer.p_adjusted)]

    rows = []
    for part in analysis.contributions:
        row = [text("part", part.part), *shown("added", part.added), *shown("left out", part.left_out)]
        if shares:
            share = shares.get(part.part)
            row += (Cell("share", "–"), bounds("–")) if share is None else difference("share", main, share, whole)
        rows.append(row)
    caption = (
        f"What each part contributes to {main.label}: by being added to a model, and by not being left out of one."
    )
    if shares:
        caption += " Its share is the mean over all orders of adding parts (Shapley); shares sum to the whole."
    return Table("contributions", caption, rows)
