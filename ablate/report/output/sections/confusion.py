"""Which classes are taken for which."""

from collections.abc import Iterator

from ablate.report.analysis.analyse import Analysis
from ablate.report.output.document import Block, Cell, Table, number, text
from ablate.report.study.metrics import metric


def confusion(analysis: Analysis) -> Iterator[Block]:
    """Yields the confusion matrix of each variant, the mean over its seeds, where it was measured."""
    study = analysis.study
    kinds = [kind for kind in map(metric, study.metrics) if kind.is_of_test and kind.taken_for]
    pairs = {(kind.of_class, kind.taken_for): kind for kind in kinds}
    classes = list(dict.fromkeys(right for right, _ in pairs))
    if not classes:
        return
    for place, label in enumerate(study.labels):
        rows = []
        for right in classes:
            row = [Cell(right)]
            for taken in classes:
                kind = pairs[right, taken]
                mean = float(study.values(label, kind.name).mean())
                row.append(Cell(kind.show(mean), mean))
            rows.append(row)
        caption = (
            f"Confusion of {label}: of each class (a row) the share that is taken for each (a column), over seeds."
        )
        yield Table(f"confusion_{place}", caption, [text("class"), *map(number, classes)], rows)
