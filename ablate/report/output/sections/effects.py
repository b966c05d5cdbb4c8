"""Main effects, interactions and contributions."""

from collections.abc import Iterator, Mapping

from ablate.report.analysis.analyse import Analysis, FactorialEffects
from ablate.report.analysis.comparisons import Question, find
from ablate.report.analysis.completeness import command_of_edits
from ablate.report.output import words
from ablate.report.output.document import Block, Cell, Commands, Picture, Table, Text, bounds, number, text
from ablate.report.study.metrics import metric


def effects(analysis: Analysis, drawn: Mapping[str, Picture]) -> Iterator[Block]:
    """Yields what each part contributes (which leads a design), and the effects of factorials or what they miss."""
    design = analysis.study.definition.design
    if design is not None and analysis.contributions:
        yield Text(f"The variants are a design, {design}, of {words.listed([p.part for p in analysis.contributions])}.")
        yield _contributions(analysis)
    if "effects" in drawn:
        yield drawn["effects"]
    for each in analysis.factorials:
        if each.effects:
            yield _effects_table(each)
    if design is None and analysis.contributions:
        yield _contributions(analysis)
    for each in analysis.factorials:
        if each.left_out and not each.factorial.missing:
            yield Text(f"No effects of {each.factorial.name} on {metric(each.metric).label}: {each.left_out}.")
    if design not in (None, "factorial"):
        return
    incomplete = {each.factorial.full: each.factorial for each in analysis.factorials if each.factorial.missing}
    for factorial in incomplete.values():
        missing = [words.listed(cell) or "none" for cell in factorial.missing]
        typed = [command_of_edits(analysis.study, factorial.full, cell) for cell in factorial.missing]
        known = [str(command) for command in typed if command is not None]
        yield Text(
            f"The combinations of {factorial.name} are a factorial but for {words.listed(missing)} alone. "
            f"With these runs there are main effects and interactions{':' if known else '.'}"
        )
        yield from [Commands(known)] if known else []


def _effects_table(each: FactorialEffects) -> Table:
    kind = metric(each.metric)
    over = words.count(len(each.pairs), "round" if each.timing else "seed")
    rows = [
        [
            Cell(" × ".join(effect.factors)),
            Cell("main effect" if len(effect.factors) == 1 else "interaction"),
            Cell(kind.show_difference(effect.evidence.mean), effect.evidence.mean),
            Cell(words.interval(effect.evidence.interval, kind)),
            Cell(words.p_value(effect.evidence.p), effect.evidence.p),
            Cell(words.p_value(p), p),
        ]
        for effect, p in zip(each.effects, each.adjusted, strict=True)
    ]
    caption = (
        f"Effects of {each.factorial.name} on {kind.label}, "
        f"over {over}. A main effect is the mean change over the levels of the "
        "others; an interaction how much the change one makes grows with the other in. The adjusted p is for the "
        f"{words.count(len(each.effects), 'test')} of this table."
    )
    columns = (text("effect"), text("kind"), number("estimate"), bounds(), number("p"), number("adjusted p"))
    return Table(f"effects_{each.factorial.key}_{each.metric}", caption, columns, rows)


def _contributions(analysis: Analysis) -> Table:
    main = metric(analysis.metric)

    def shown(pair: tuple[str, str] | None) -> list[Cell]:
        if pair is None:
            return [Cell("not run"), Cell("–"), Cell("–")]
        answer = find(analysis.answers, Question(main.name, *pair))
        mean = answer.comparison.mean
        return [
            Cell(main.show_difference(mean), mean),
            Cell(words.interval(answer.comparison.interval, main)),
            Cell(words.p_value(answer.p_adjusted), answer.p_adjusted),
        ]

    rows = [[Cell(part.part), *shown(part.added), *shown(part.left_out)] for part in analysis.contributions]
    columns = [text("part")]
    columns += [column for head in ("added", "left out") for column in (number(head), bounds(), number("adjusted p"))]
    caption = (
        f"What each part contributes to {main.label}: by being added to a model, and by not being left out of one."
    )
    return Table("contributions", caption, columns, rows)
