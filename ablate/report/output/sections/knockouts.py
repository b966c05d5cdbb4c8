"""What the trained networks do without a part, beside what training without it gives."""

from collections.abc import Iterator

import numpy as np

from ablate import stats
from ablate.report.analysis.analyse import Analysis
from ablate.report.analysis.comparisons import resolution
from ablate.report.analysis.effects import Contribution
from ablate.report.output.document import Block, Cell, Table, text
from ablate.report.output.sections.cells import difference, measured
from ablate.report.study.knockouts import Knockout


def knockouts(analysis: Analysis) -> Iterator[Block]:
    """Yields a table of what knocking parts out of trained networks did to their test accuracy, by variant."""
    study = analysis.study
    without = {each.part: each for each in analysis.contributions}
    rows = []
    for knockout in study.knockouts:
        for label in study.labels:
            if row := _row(analysis, knockout, label, without.get(knockout.part)):
                rows.append([text("knocked out", knockout.edit), text("of", label), *row])
    if rows:
        caption = (
            "Test accuracy of trained networks after a part is knocked out of them, without training again: the mean "
            "over seeds of the change, with its 95 % interval. Beside it, the change where the part is left out of "
            "training: the network makes up for what it never had."
        )
        yield Table("knockout", caption, rows)


def _row(analysis: Analysis, knockout: Knockout, label: str, part: Contribution | None) -> list[Cell]:
    study, kind = analysis.study, analysis.study.metric("test_accuracy")
    test, step = analysis.looks.test, resolution(study, kind)
    runs = [run for run in study.of(label)["run"] if run in knockout.accuracies]
    if not runs:
        return []
    before, after = (np.array([knockout.accuracies[run][side] for run in runs]) for side in (0, 1))
    changed = stats.weigh(stats.paired_differences(after, before), test, resolution=step)
    trained, trained_without = stats.weigh([]), "–"
    if part is not None and part.left_out is not None and part.left_out[0] == label:
        values = study.runs.pivot(index="seed", columns="variant", values="test_accuracy")[list(part.left_out)].dropna()
        trained = stats.weigh(stats.paired_differences(*values.T.to_numpy()[::-1]), test, resolution=step)
        trained_without = part.left_out[1]
    return [
        Cell("seeds", str(len(runs)), len(runs)),
        measured("before", kind, float(before.mean()), runs),
        measured("after", kind, float(after.mean()), runs),
        *difference("change", kind, changed, runs),
        text("trained without it", trained_without),
        *difference("change by training without", kind, trained),
    ]
