"""Which classes are taken for which."""

from collections.abc import Iterator

from ablate.report.analysis.analyse import OF_PAIR, Analysis
from ablate.report.output.document import Block, Cell, Table
from ablate.report.study.metrics import metric


def confusion(analysis: Analysis) -> Iterator[Block]:
    """Yields the confusion matrix of each variant, the mean over its seeds, where it was measured."""
    study = analysis.study
    pairs = {match.groups(): name for name in study.metrics if (match := OF_PAIR.fullmatch(name))}
    classes = list(dict.fromkeys(right for right, _ in pairs))
    if not classes:
        return
    for number, label in enumerate(study.labels):
        rows = []
        for right in classes:
            names = [pairs[right, taken] for taken in classes]
            means = [float(study.values(label, name).mean()) for name in names]
            cells = [Cell(metric(name).show(mean), mean) for name, mean in zip(names, means, strict=True)]
            rows.append([Cell(right), *cells])
        caption = (
            f"Confusion of {label}: of each class (a row) the share that is taken for each (a column), over seeds."
        )
        yield Table(f"confusion_{number}", caption, ("class", *classes), rows, words=("class",))
