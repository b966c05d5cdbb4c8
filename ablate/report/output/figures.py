"""Figures at paper size. Each draws the numbers that it is given and computes none."""

import math
import re
import textwrap
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import BytesIO, StringIO
from itertools import cycle
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.style import context
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator, PercentFormatter

from ablate.config.schema import FiguresConfig
from ablate.messages import printable

# The colours of M. Okabe and K. Ito, told apart with any colour vision; black and yellow left out. In grey, lines and
# markers are.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
_LINES, _MARKERS = ("-", "--", "-.", ":"), "osDv^<>Ph"
_PARTS = ("#4d4d4d", "#999999", "#cccccc")  # of a time: no variant's colours
_LINE, _MOST_LINES = 26, 3  # characters and lines of a label
_MOST_SEED_LINES = 60  # beyond which lines of single runs are a blur
_MOST_LABELS = 24  # beyond which a legend is longer than its figure
_FOREGROUND = "#1a1a1a"
_VERDICTS = {"supported": ("#009E73", "o"), "refuted": ("#D55E00", "X"), "inconclusive": ("#E69F00", "s"),
             "untested": ("#8c8c8c", "s"), "equal": ("#0072B2", "P"), "": (_FOREGROUND, "o")}  # fmt: skip
_ON_PAGE = 1.9  # pixels for a point of paper
_SHEET = Path(__file__).with_name("ablate.mplstyle")


@dataclass(frozen=True)
class Estimate:
    """A difference, ratio or effect with its interval, and the published one and verdict where there are."""

    name: str
    mean: float
    low: float
    high: float
    published: float = math.nan
    verdict: str = ""
    group: str = ""  # the heading that it stands under


@dataclass(frozen=True)
class Panel:
    """A part of a figure with axes of its own, as many lines of text high."""

    title: str
    draw: Callable[[Axes], None]
    lines: float = 13


@dataclass(frozen=True)
class Style:
    """How a variant is drawn."""

    colour: str
    line: str
    marker: str


def colours(variants: Sequence[str]) -> dict[str, str]:
    """Returns the colour of each variant, the same in every figure."""
    return dict(zip(variants, cycle(_COLOURS), strict=False))


def styles(variants: Sequence[str]) -> dict[str, Style]:
    """Returns how each variant is drawn, the same in every figure."""
    drawn = zip(cycle(_COLOURS), cycle(_LINES), cycle(_MARKERS), strict=False)
    return {variant: Style(*each) for variant, each in zip(variants, drawn, strict=False)}


def fitted(texts: Sequence[str]) -> list[str]:
    """Returns labels in few short lines, the middle of long ones left out; different labels stay different."""
    shown: dict[str, str] = {}
    short: list[str] = []
    for text in dict.fromkeys(texts):
        lines = textwrap.wrap(printable(" ".join(text.split())), _LINE) or [""]
        if len(lines) > _MOST_LINES:
            lines = [lines[0], f"{lines[1][: _LINE - 2]} …", lines[-1]]
        label = "\n".join(lines)
        shown[text] = f"{label} #{short.count(label) + 1}" if label in short else label
        short.append(label)
    # What begins with an underscore, matplotlib keeps out of legends.
    return [f" {shown[text]}" if text.startswith("_") else shown[text] for text in texts]


@contextmanager
def sheet(paper: FiguresConfig) -> Iterator[None]:
    """Draws within it as a paper asks for."""
    with context([_SHEET, {"font.size": paper.font_size}]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .*missing from font")  # SVG has the text itself
        yield


def grid(panels: Sequence[Panel], paper: FiguresConfig, name: str, most: int = 2, usual: str = "") -> Figure:
    """Draws panels beside each other, at most so many, and below; one legend has the labels of all.

    Args:
        panels: What is drawn, one or more.
        paper: How wide the columns of the paper are, and its letters.
        name: Of the figure, whose width may be chosen by it.
        most: Panels beside each other.
        usual: Its width if that is not chosen, single or double; by its panels if empty.
    """
    columns = min(len(panels), most)
    width = getattr(paper, paper.width.get(name, usual or ("single" if columns == 1 else "double")))
    rows = [panels[start : start + columns] for start in range(0, len(panels), columns)]
    titles = [[textwrap.wrap(printable(each.title), int(width * 100 / columns / paper.font_size)) for each in row]
              for row in rows]  # fmt: skip
    heights = [
        max(each.lines + len(title) for each, title in zip(row, of_row, strict=True)) + 2.5
        for row, of_row in zip(rows, titles, strict=True)
    ]
    line = 1.35 * paper.font_size / 72
    figure = Figure(figsize=(width, sum(heights) * line), layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False, height_ratios=heights).ravel()
    handles: dict[str, Any] = {}
    for each, panel, title in zip(axes, panels, [title for row in titles for title in row], strict=False):
        each.set_title("\n".join(title))
        panel.draw(each)
        handles |= dict(zip(*each.get_legend_handles_labels()[::-1], strict=True))
    for each in axes[len(panels) :]:
        each.set_axis_off()
    if 0 < len(handles) <= _MOST_LABELS:
        labels = fitted(list(handles))
        longest = max(len(part) for label in labels for part in label.split("\n"))
        beside = max(1, min(len(labels), int(width * 110 / paper.font_size / (longest + 6))))
        lines = math.ceil(len(labels) / beside) * max(label.count("\n") + 1 for label in labels)
        figure.set_figheight(figure.get_figheight() + line * (lines + 1))
        figure.legend(list(handles.values()), labels, loc="outside lower center", ncols=beside)
    return figure


def curves(title: str, means: pd.DataFrame, runs: pd.DataFrame, palette: Mapping[str, Style], unit: str) -> Panel:
    """Returns a panel of learning curves: a variant's mean, a band from its lowest to highest seed, and its runs.

    Args:
        title: The metric.
        means: Columns variant, epoch, mean, min, max.
        runs: Columns run, variant, epoch, value.
        palette: By variant.
        unit: Of the values; % stands for shares.
    """

    def draw(axes: Axes) -> None:
        for variant, rows in means.groupby("variant", sort=False):
            of = palette[str(variant)]
            (line,) = axes.plot(rows["epoch"], rows["mean"], of.line, color=of.colour, label=str(variant))
            line.set_marker(of.marker if len(rows) < 3 else "")
            axes.fill_between(rows["epoch"], rows["min"], rows["max"], color=of.colour, alpha=0.15, linewidth=0)
        if runs["run"].nunique() <= _MOST_SEED_LINES:
            for _, rows in runs.groupby("run", sort=False):
                colour = palette[str(rows["variant"].iloc[0])].colour
                axes.plot(rows["epoch"], rows["value"], color=colour, alpha=0.3, linewidth=0.4)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
        if unit == "%":
            axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        else:
            axes.set_ylabel(unit)

    return Panel(title, draw)


def forest(title: str, estimates: Sequence[Estimate], scale: str, unit: str = "") -> Panel:
    """Returns a panel with a row for each estimate and its interval, under the headings of their groups.

    Args:
        title: What is estimated.
        estimates: Those of one group beside each other.
        scale: share (differences of shares), ratio, or number.
        unit: Of a number.
    """
    names = fitted([estimate.name for estimate in estimates])
    places, headings, at = [], {}, 0.0
    for estimate, name in zip(estimates, names, strict=True):
        if estimate.group and estimate.group not in headings:
            shown = textwrap.wrap(printable(estimate.group), 70)
            headings[estimate.group] = (at + len(shown) / 2, "\n".join(shown))
            at += len(shown) + 0.3
        height = name.count("\n") + 1.5
        places.append(at + height / 2)
        at += height

    def draw(axes: Axes) -> None:
        for estimate, place in zip(estimates, places, strict=True):
            colour, marker = _VERDICTS[estimate.verdict]
            label = estimate.verdict or "_"
            axes.plot([estimate.low, estimate.high], [place, place], color=colour, linewidth=1.6, solid_capstyle="butt")
            axes.plot(estimate.mean, place, marker, color=colour, label=label)
            if not math.isnan(estimate.published):
                axes.plot(
                    estimate.published, place, "D", fillstyle="none", color=_FOREGROUND, label="published", zorder=3
                )
        for place, text in headings.values():
            axes.text(0.01, place, text, transform=axes.get_yaxis_transform(), va="center", fontstyle="italic")
        axes.axvline(1 if scale == "ratio" else 0, color=_FOREGROUND, linewidth=0.8)
        axes.set_yticks(places, names)
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(at, 0)
        axes.grid(visible=False, axis="y")
        if scale == "ratio":
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
            axes.xaxis.set_minor_locator(NullLocator())
        _format_differences(axes.xaxis, scale, unit)

    return Panel(title, draw, at)


def narrowing(title: str, frame: pd.DataFrame, scale: str, margin: float | None) -> Panel:
    """Returns a panel of how an interval narrowed: the mean over more and more seeds, with the margin if there is one.

    Args:
        title: What is compared.
        frame: Columns seeds, mean, low and high.
        scale: As for `forest`.
        margin: Of equality.
    """

    def draw(axes: Axes) -> None:
        bounded = frame[frame["low"].gt(-math.inf) & frame["high"].lt(math.inf)]
        axes.fill_between(bounded["seeds"], bounded["low"], bounded["high"], color=_COLOURS[0], alpha=0.2, linewidth=0)
        axes.plot(frame["seeds"], frame["mean"], color=_COLOURS[0], marker="o", markersize=2.5)
        axes.axhline(1.0 if scale == "ratio" else 0.0, color=_FOREGROUND, linewidth=0.8)
        if margin is not None:
            above = 1 + margin if scale == "ratio" else margin
            for bound in (above, 1 / above if scale == "ratio" else -above):
                axes.axhline(bound, color=_FOREGROUND, linewidth=0.8, linestyle="--")
        axes.set_xlabel("seeds")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _format_differences(axes.yaxis, scale)

    return Panel(title, draw, 10)


def against_time(
    title: str, runs: pd.DataFrame, front: pd.DataFrame, label: str, unit: str, palette: Mapping[str, Style]
) -> Panel:
    """Returns a panel with a point for each run, a larger one for each mean, and the line of those that no other beats.

    Args:
        title: The data set, if there are several.
        runs: Columns variant, cost (seconds), value.
        front: The means on the line, cheapest first: columns cost, value.
        label: Of the value.
        unit: Of it.
        palette: By variant.
    """

    def draw(axes: Axes) -> None:
        for variant, rows in runs.groupby("variant", sort=False):
            scatter = partial(axes.scatter, color=palette[str(variant)].colour, marker=palette[str(variant)].marker)
            scatter(rows["cost"], rows["value"], s=8, alpha=0.6, linewidth=0)
            scatter(rows["cost"].mean(), rows["value"].mean(), s=36, label=str(variant))
        steps = axes.step(front["cost"], front["value"], where="post", color=_FOREGROUND, zorder=0)[0]
        steps.set(linestyle=":", linewidth=1, label="Pareto line")
        axes.set_xlabel("seconds of a run")
        axes.set_ylabel(label if unit in ("", "%") else f"{label}, {unit}")
        if unit == "%":
            axes.yaxis.set_major_formatter(PercentFormatter(1))

    return Panel(title, draw, 16)


def times(parts: pd.DataFrame) -> Panel:
    """Returns a panel with a bar for each variant, split into the parts of its time.

    Args:
        parts: Index variant, a column of mean seconds for each part.
    """
    names = fitted(list(map(str, parts.index)))

    def draw(axes: Axes) -> None:
        left = pd.Series(0.0, index=parts.index)
        for (name, seconds), colour in zip(parts.items(), _PARTS, strict=False):
            axes.barh(range(len(parts)), seconds, left=left, color=colour, label=str(name), height=0.6)
            left = left + seconds
        axes.set_yticks(range(len(parts)), names)
        axes.invert_yaxis()
        axes.set_xlabel("seconds a run, mean over seeds")
        axes.grid(visible=False, axis="y")

    return Panel("", draw, sum(name.count("\n") + 1.5 for name in names))


def svg(figure: Figure) -> str:
    """Returns a figure as SVG; the same figure gives the same text."""
    file = StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    figure.set_layout_engine(None)  # what is drawn of it once more has found its places
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"


def within_page(svg: str) -> str:
    """Returns a figure's SVG for a page: its lines and text have the page's colour, its names are no others'."""
    drawn = re.sub(r' id="[a-z0-9]+_[\d_]+"|<metadata>.*?</metadata>', "", svg[svg.find("<svg") :], flags=re.DOTALL)
    drawn = re.sub(
        r'width="([\d.]+)pt"', lambda size: f'style="max-width: {float(size[1]) * _ON_PAGE:.0f}px"', drawn, count=1
    )
    return re.sub(r' height="[\d.]+pt"', "", drawn, count=1).replace(_FOREGROUND, "currentColor")


def other(figure: Figure, kind: str) -> bytes:
    """Returns a figure as PNG on white, or PDF with its fonts; the same figure gives the same bytes."""
    file = BytesIO()
    if kind == "png":
        figure.savefig(file, format=kind, dpi=220, facecolor="white", metadata={"Software": None})
    else:
        figure.savefig(file, format=kind, metadata={"CreationDate": None})
    return file.getvalue()


def _format_differences(axis: Axis, scale: str, unit: str = "") -> None:
    """Has an axis say its differences in the unit of their scale."""
    if scale == "ratio":
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    elif scale == "share":
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}".replace("-", "−")))
    axis.set_label_text(
        {"ratio": "ratio", "share": "difference, percentage points"}.get(
            scale, f"difference, {unit}" if unit else "difference"
        )
    )
