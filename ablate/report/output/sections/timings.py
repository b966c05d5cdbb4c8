"""Timings of variants in turns, and the times of their layers."""

from collections.abc import Iterator

import numpy as np

from ablate import stats
from ablate.report.analysis.analyse import Analysis
from ablate.report.analysis.comparisons import Question, baseline_of, timed
from ablate.report.output import words
from ablate.report.output.document import Block, Cell, Table, Text, bounds, number, text
from ablate.report.study.metrics import metric
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
    rows = []
    for label, seconds in timing.seconds.items():
        row = [Cell(label)]
        for part in ("train_seconds", "eval_seconds", "total_seconds"):
            median = float(np.median(seconds[part]))
            row.append(Cell(f"{median:.3f} s", median))
        base = baseline_of(analysis.study, label)
        answer = None if base in (None, label) else timed(analysis.study, Question("total_seconds", label, str(base)))
        comparison = None if answer is None else answer.comparison
        kind = metric("total_seconds")
        mean, range_ = (
            (float("nan"), stats.Interval(float("nan"), float("nan")))
            if comparison is None
            else (comparison.mean, comparison.interval)
        )
        rows.append([*row, Cell(kind.show_difference(mean), mean), Cell(words.interval(range_, kind))])
    heads = ("training", "test", "with data", "ratio to the baseline")
    columns = [text("variant"), *map(number, heads), bounds()]
    caption = "Seconds an epoch, timed in turns: medians over rounds, and the ratio of the whole to the baseline's."
    return Table("timing", caption, columns, rows)


def _layers(timing: Timing) -> Table:
    names = dict.fromkeys(name for layers in timing.layers.values() for name in layers)
    rows = []
    for name in names:
        found = [layers.get(name) for layers in timing.layers.values()]
        cells = [Cell("–" if value is None else f"{1000 * value:.2f} ms", value) for value in found]
        rows.append([Cell(name), *cells])
    caption = "Each layer's part of a training step, forward and backward, with the profiler's own cost in it."
    return Table("layer_times", caption, [text("layer"), *map(number, timing.layers)], rows)
