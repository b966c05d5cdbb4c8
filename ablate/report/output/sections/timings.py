"""Timings of variants in turns, and the times of their layers."""

from collections.abc import Iterator

import numpy as np

from ablate import stats
from ablate.report.analysis.analyse import Analysis
from ablate.report.analysis.comparisons import Question, baseline_of, timed
from ablate.report.output import words
from ablate.report.output.document import Block, Cell, Table, Text, text
from ablate.report.output.sections.cells import difference
from ablate.report.study.timings import Timing


def timings(analysis: Analysis) -> Iterator[Block]:
    """Yields the newest timing's seconds, its ratios to the baseline, and the layers."""
    if not analysis.study.timings:
        return
    timing = analysis.study.timings[0]
    yield _epochs(analysis, timing)
    yield Text(
        f"The variants took turns in one process, in random order, over {words.count(_rounds(timing), 'round')} on "
        f"{timing.place}; {timing.disturbed} more, in which something else slowed the machine down, do not count. "
        "Where both variants of a comparison were timed so, it rests on this and not on the runs' own clocks."
    )
    if timing.layers:
        yield _layers(timing)


def _rounds(timing: Timing) -> int:
    return len(next(iter(next(iter(timing.seconds.values())).values())))


def _epochs(analysis: Analysis, timing: Timing) -> Table:
    parts = {"train_seconds": "training", "eval_seconds": "test", "total_seconds": "with data"}
    kind, rows = analysis.study.metric("total_seconds"), []
    for label, seconds in timing.seconds.items():
        medians = {head: float(np.median(seconds[part])) for part, head in parts.items()}
        row = [text("variant", label), *(Cell(head, f"{median:.3f} s", median) for head, median in medians.items())]
        base = baseline_of(analysis.study, label)
        answer = None if base in (None, label) else timed(analysis.study, Question("total_seconds", label, str(base)))
        evidence = stats.weigh([]) if answer is None else answer.evidence
        rows.append([*row, *difference("ratio to the baseline", kind, evidence)])
    caption = "Seconds an epoch, timed in turns: medians over rounds, and the ratio of the whole to the baseline's."
    return Table("timing", caption, rows)


def _layers(timing: Timing) -> Table:
    names = dict.fromkeys(name for layers in timing.layers.values() for name in layers)
    rows = []
    for name in names:
        row = [text("layer", name)]
        for variant, layers in timing.layers.items():
            value = layers.get(name)
            row.append(Cell(variant, "–" if value is None else f"{1000 * value:.2f} ms", value))
        rows.append(row)
    caption = "Each layer's part of a training step, forward and backward, with the profiler's own cost in it."
    return Table("layer_times", caption, rows)
