"""Comparisons over several data sets."""

from collections.abc import Iterator

from ablate.report.analysis.analyse import Analysis
from ablate.report.output import words
from ablate.report.output.document import Block, Cell, Table, Text, bounds, text
from ablate.report.output.sections.cells import p_value


def data_sets(analysis: Analysis) -> Iterator[Block]:
    """Yields each variant against the baseline over all data sets, metric by metric."""
    for name in dict.fromkeys(each.question.metric for each in analysis.over_data):
        kind = analysis.study.metric(name)
        rows = []
        for each in (one for one in analysis.over_data if one.question.metric == name):
            of = [answer.evidence.mean for answer in each.answers.values()]
            found, higher = each.pooled, sum(mean > 0 for mean in of)
            rows.append(
                [
                    text("comparison", f"{each.question.first} against {each.question.second}"),
                    Cell("data sets", str(len(of)), len(of)),
                    Cell("mean", kind.show_difference(found.mean), found.mean),
                    bounds(words.interval(found.interval, kind)),
                    bounds(words.interval(found.prediction, kind), "95 % of new data sets"),
                    Cell("SD between them", kind.show_difference(found.deviation).lstrip("+"), found.deviation),
                    p_value("p", found.p),
                    Cell("higher on", f"{higher} of {len(of)}", higher),
                    Cell("mean rank", " against ".join("–" if rank != rank else f"{rank:.2f}" for rank in each.rank)),
                ]
            )
        caption = (
            f"Difference to the baseline in {kind.label} over data sets: the random-effects mean, in which each is "
            "weighed by its seeds' spread and by how much the data sets differ, with its interval, and that of the "
            "mean difference on a new data set like these. The p is not adjusted."
        )
        yield Table(f"data_sets_{name}", caption, rows)
    for why in dict.fromkeys(each.why_not for each in analysis.over_data if each.why_not):
        yield Text(f"Where there is no mean: {why}.")
