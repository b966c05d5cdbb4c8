"""Two reports, compared."""

from collections.abc import Sequence

from ablate.report.analysis.analyse import Analysis
from ablate.report.analysis.changes import Change, changes
from ablate.report.output import words
from ablate.report.output.document import Bullets, Document, Item, Section, Table, Text, text
from ablate.report.output.sections.cells import difference, measured, p_value
from ablate.report.output.sections.claims import mark
from ablate.stats import ALPHA


def comparison(first: Analysis, second: Analysis, names: Sequence[str]) -> Document:
    """Returns what changed in verdicts and cells, and whether by more than chance."""
    found = list(changes(first, second))
    changed = [each for each in found if each.p_adjusted < ALPHA]
    same = sum(each.is_same for each in found)
    lines = [
        Item(
            f"{each.variant}: {each.metric.label} {each.metric.show_difference(each.evidence.mean)} "
            f"({words.interval(each.evidence.interval, each.metric)}), adjusted p {words.related(each.p_adjusted)}"
        )
        for each in changed
    ]
    of_first = {judged.claim.id: judged for judged in first.judgements}
    both = [(of_first[judged.claim.id], judged) for judged in second.judgements if judged.claim.id in of_first]
    moved = [(one, other) for one, other in both if one.verdict is not other.verdict]
    lines += [Item(f"{other.claim.statement} {one.verdict} before, {other.verdict} now") for one, other in moved]
    cells = [
        [
            text("variant", each.variant),
            text("metric", each.metric.label),
            measured(names[0], each.metric, each.means[0]),
            measured(names[1], each.metric, each.means[1]),
            *difference("change", each.metric, each.evidence),
            p_value("adjusted p", each.p_adjusted),
            text("by more than chance", _is_more(each)),
        ]
        for each in found
    ]
    verdicts = [
        [text("claim", other.claim.statement), *(
            text(name, words.verdict(judged), mark(judged.verdict))
            for name, judged in zip(names, (one, other), strict=True)
        )]
        for one, other in both
    ]  # fmt: skip
    lead = (
        f"Of {words.count(len(found), 'mean')}, {len(changed)} changed by more than chance, and {same} are the same in "
        f"every seed; of {words.count(len(both), 'verdict')}, {len(moved)} changed."
    )
    how = (
        "The change is the second report's mean minus the first's, of times their ratio. Its test is Welch's t-test "
        "for one look, of runs that are no pairs, adjusted by Holm's method over the variants of a metric. A verdict "
        "can change with no mean that clearly does: what is near a threshold may fall on either side."
    )
    sections = [Section("Cells", [Table("changes", "Each variant in both reports.", cells), Text(how)], is_first=True)]
    if verdicts:
        sections.insert(0, Section("Verdicts", [Table("verdicts", "Each claim in both.", verdicts)], is_first=True))
    return Document(f"{names[0]} and {names[1]}", [Text(lead), *[Bullets(lines)] * bool(lines)], sections)


def _is_more(change: Change) -> str:
    return "the same" if change.is_same else "yes" if change.p_adjusted < ALPHA else "not clearly"
