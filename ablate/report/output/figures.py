"""Figures. Each function draws the numbers that it is given and computes none."""

import math
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import BytesIO, StringIO
from itertools import cycle
from typing import Any

import pandas as pd
from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter, PercentFormatter

from ablate.messages import printable

# The colours of M. Okabe and K. Ito, told apart with any colour vision; black and yellow left out.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
_LINES, _MARKERS = ("-", "--", "-.", ":"), "osDv^<>Ph"  # of the first six variants, of the next, and so on
_PARTS = ("#4d4d4d", "#999999", "#cccccc")  # of a time: no variant's colours
_LINE, _MOST_LINES = 26, 3  # characters and lines of a label
_MOST_SEED_LINES = 60  # beyond which lines of single runs are a blur
_MOST_LABELS = 24  # beyond which a legend is longer than its figure
_FOREGROUND, _ON_DARK = "#1a1a1a", "#e6e6e6"
_VERDICTS = {"supported": "#009E73", "refuted": "#D55E00", "inconclusive": "#E69F00", "untested": "#8c8c8c",
             "equal": "#0072B2"}  # fmt: skip
_SEED_ALPHA = 0.3


@dataclass(frozen=True)
class Estimate:
    """A difference, ratio or effect with its interval, and the published one and verdict where there are."""

    name: str
    mean: float
    low: float
    high: float
    published: float = math.nan
    verdict: str = ""


@dataclass(frozen=True)
class Panel:
    """Estimates on one scale: `share` (differences of shares), `ratio`, or `number`."""

    title: str
    scale: str
    estimates: Sequence[Estimate]


@dataclass(frozen=True)
class Narrowing:
    """How an interval narrowed: columns seeds, mean, low and high, on one scale, with the margin if there is one."""

    title: str
    scale: str
    frame: pd.DataFrame
    margin: float | None


@dataclass(frozen=True)
class Curves:
    """A metric over the epochs.

    Attributes:
        title: What it is.
        scale: `share`, or the unit or the quantity that stands at the axis.
        means: Columns variant, epoch, mean, min, max.
        runs: Columns run, variant, epoch, value.
    """

    title: str
    scale: str
    means: pd.DataFrame
    runs: pd.DataFrame


@dataclass(frozen=True)
class Style:
    """How a variant is drawn: its colour, and where others have that too, a line and a marker of its own."""

    colour: str
    line: str
    marker: str


def colours(variants: Sequence[str]) -> dict[str, str]:
    """Returns the colour of each variant, the same in every figure."""
    return dict(zip(variants, cycle(_COLOURS), strict=False))


def styles(variants: Sequence[str]) -> dict[str, Style]:
    """Returns how each variant is drawn, the same in every figure."""
    turns = [number // len(_COLOURS) for number in range(len(variants))]
    return {
        variant: Style(colour, _LINES[turn % len(_LINES)], _MARKERS[turn % len(_MARKERS)])
        for (variant, colour), turn in zip(colours(variants).items(), turns, strict=True)
    }


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
def theme() -> Iterator[None]:
    """Draws within it for a light page; the background stays transparent."""
    keys = ("text.color", "axes.labelcolor", "axes.edgecolor", "axes.titlecolor", "xtick.color", "ytick.color")
    style: dict[Any, Any] = dict.fromkeys(keys, _FOREGROUND)
    with (
        rc_context(
            {
                **style,
                "grid.color": _FOREGROUND,
                "grid.alpha": 0.15,
                "axes.spines.top": False,
                "axes.spines.right": False,
                "axes.titlesize": "medium",
                "axes.titlelocation": "left",
                "figure.facecolor": "none",
                "axes.facecolor": "none",
                "savefig.facecolor": "none",
                "svg.hashsalt": "ablate",
                "svg.fonttype": "none",
                "text.parse_math": False,  # a $ in a label is a $
            }
        ),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", r"Glyph \d+ .*missing from font")  # SVG has the text itself
        yield


def learning_curves(curves: Sequence[Curves], palette: Mapping[str, Style]) -> Figure:
    """Draws a panel for each metric: a line for each variant's mean and run, a band from its lowest to highest seed."""
    figure = Figure(figsize=(4.2 * len(curves), 3.6), layout="constrained")
    panels = figure.subplots(1, len(curves), squeeze=False)[0]
    for axes, panel in zip(panels, curves, strict=True):
        for variant, rows in panel.means.groupby("variant", sort=False):
            style = palette[str(variant)]
            marker = style.marker if len(rows) < 3 or style.marker != _MARKERS[0] else None
            axes.plot(
                rows["epoch"], rows["mean"], color=style.colour, linestyle=style.line, marker=marker,
                markevery=max(1, len(rows) // 8), label=str(variant),
            )  # fmt: skip
            axes.fill_between(rows["epoch"], rows["min"], rows["max"], color=style.colour, alpha=0.2, linewidth=0)
        single = panel.runs
        if single["run"].nunique() <= _MOST_SEED_LINES:
            for _, rows in single.groupby("run", sort=False):
                colour = palette[str(rows["variant"].iloc[0])].colour
                axes.plot(rows["epoch"], rows["value"], color=colour, alpha=_SEED_ALPHA, linewidth=0.6)
        axes.set_title(panel.title)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
        axes.grid()
        if panel.scale == "share":
            axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        else:
            axes.set_ylabel(panel.scale)
    _legend(figure, panels[0])
    return figure


def intervals(panels: Sequence[Panel]) -> Figure:
    """Draws panels two by two: a row for each estimate with its interval."""
    columns = min(len(panels), 2)
    rows = math.ceil(len(panels) / columns)
    height = max(_height(panel) for panel in panels)
    figure = Figure(figsize=(5.2 * columns + 0.6, (height + 1.1) * rows), layout="constrained")
    all_axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, panel in zip(all_axes, panels, strict=False):
        _estimates(axes, panel, [axes.xaxis.label.get_color()] * len(panel.estimates))
    for axes in all_axes[len(panels) :]:
        axes.set_axis_off()
    return figure


def claims(panels: Sequence[Panel]) -> Figure:
    """Draws panels below each other: estimates in the colour of their verdict, the published ones as diamonds."""
    heights = [_height(panel) + 0.55 for panel in panels]
    figure = Figure(figsize=(7.5, sum(heights) + 0.8), layout="constrained")
    drawn: dict[str, Artist] = {}
    all_axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, panel in zip(all_axes, panels, strict=True):
        point_colours = [_VERDICTS[estimate.verdict] for estimate in panel.estimates]
        _estimates(axes, panel, point_colours)
        for number, (estimate, colour) in enumerate(zip(panel.estimates, point_colours, strict=True)):
            drawn.setdefault(estimate.verdict, axes.plot([], [], "o-", color=colour)[0])
            if not math.isnan(estimate.published):
                style = {"fillstyle": "none", "color": axes.xaxis.label.get_color(), "zorder": 3}
                (diamond,) = axes.plot(estimate.published, number, "D", **style)
                drawn.setdefault("published", diamond)
    figure.legend(
        list(drawn.values()), list(drawn), loc="outside lower center", ncols=len(drawn), frameon=False, fontsize="small"
    )
    return figure


def narrowing(panels: Sequence[Narrowing]) -> Figure:
    """Draws panels three by three: the mean over more and more seeds, and its interval."""
    columns = min(len(panels), 3)
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(3.4 * columns + 0.4, 2.6 * rows), layout="constrained")
    all_axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, panel in zip(all_axes, panels, strict=False):
        frame, colour = panel.frame, _COLOURS[0]
        bounded = frame[frame["low"].gt(-math.inf) & frame["high"].lt(math.inf)]
        axes.fill_between(bounded["seeds"], bounded["low"], bounded["high"], color=colour, alpha=0.2, linewidth=0)
        axes.plot(frame["seeds"], frame["mean"], color=colour, marker="o", markersize=2.5)
        foreground = axes.xaxis.label.get_color()
        middle = 1.0 if panel.scale == "ratio" else 0.0
        axes.axhline(middle, color=foreground, linewidth=0.8)
        if panel.margin is not None:
            above = 1 + panel.margin if panel.scale == "ratio" else panel.margin
            for bound in (above, 1 / above if panel.scale == "ratio" else -above):
                axes.axhline(bound, color=foreground, linewidth=0.8, linestyle="--")
        axes.set_title("\n".join(fitted([panel.title])), fontsize="small")
        axes.set_xlabel("seeds")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _format_differences(axes.yaxis, panel.scale)
        axes.grid()
    for axes in all_axes[len(panels) :]:
        axes.set_axis_off()
    return figure


def accuracy_against_time(
    runs: pd.DataFrame, front: pd.DataFrame, label: str, scale: str, palette: Mapping[str, Style]
) -> Figure:
    """Draws a point for each run, a larger one for each variant's mean, and the line of those that no other beats.

    Args:
        runs: Columns variant, cost (seconds), value.
        front: The means on the line, cheapest first: columns cost, value.
        label: Of the value.
        scale: Its, `share` or another.
        palette: By variant.
    """
    figure = Figure(figsize=(5.6, 3.8), layout="constrained")
    axes = figure.subplots()
    for variant, rows in runs.groupby("variant", sort=False):
        style = palette[str(variant)]
        scatter = partial(axes.scatter, color=style.colour, marker=style.marker)
        scatter(rows["cost"], rows["value"], s=14, alpha=0.6, linewidth=0)
        scatter(rows["cost"].mean(), rows["value"].mean(), s=60, label=str(variant))
    steps = axes.step(front["cost"], front["value"], where="post", color=axes.xaxis.label.get_color(), zorder=0)[0]
    steps.set(linestyle=":", linewidth=1, label="Pareto line of the means")
    axes.set_xlabel("time of a run: training, evaluation and data, seconds")
    axes.set_ylabel(label)
    if scale == "share":
        axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.grid()
    _legend(figure, axes)
    return figure


def times(parts: pd.DataFrame) -> Figure:
    """Draws a bar for each variant, split into the parts of its time.

    Args:
        parts: Index variant, a column of mean seconds for each part.
    """
    names = fitted(list(map(str, parts.index)))
    figure = Figure(figsize=(6.4, sum(map(_height_of, names)) + 1.4), layout="constrained")
    axes = figure.subplots()
    left = pd.Series(0.0, index=parts.index)
    for (name, seconds), colour in zip(parts.items(), _PARTS, strict=False):
        axes.barh(range(len(parts)), seconds, left=left, color=colour, label=str(name), height=0.6)
        left = left + seconds
    axes.set_yticks(range(len(parts)), names, fontsize="small")
    axes.invert_yaxis()
    axes.set_xlabel("seconds a run, mean over seeds")
    axes.grid(axis="x")
    _legend(figure, axes)
    return figure


def svg(figure: Figure) -> str:
    """Returns a figure as SVG; the same figure gives the same text."""
    file = StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    figure.set_layout_engine(None)  # what is drawn of it once more has found its places
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"


def on_dark(svg: str) -> str:
    """Returns a figure's SVG for a dark page, which differs in the colour of lines and text."""
    return svg.replace(_FOREGROUND, _ON_DARK)


def png(figure: Figure) -> bytes:
    """Returns a figure as PNG on white; the same figure gives the same bytes."""
    file = BytesIO()
    figure.savefig(file, format="png", dpi=150, facecolor="white", metadata={"Software": None})
    return file.getvalue()


def _estimates(axes: Axes, panel: Panel, point_colours: Sequence[str]) -> None:
    for number, (estimate, colour) in enumerate(zip(panel.estimates, point_colours, strict=True)):
        axes.plot([estimate.low, estimate.high], [number, number], color=colour, linewidth=2, solid_capstyle="butt")
        axes.plot(estimate.mean, number, "o", color=colour)
    axes.set_title(textwrap.fill(printable(panel.title), 50))
    axes.axvline(1 if panel.scale == "ratio" else 0, color=axes.xaxis.label.get_color(), linewidth=0.8)
    axes.set_yticks(range(len(panel.estimates)), _names(panel), fontsize="small")
    axes.set_ylim(len(panel.estimates) - 0.5, -0.5)
    axes.grid(axis="x")
    if panel.scale == "ratio":
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axes.xaxis.set_minor_formatter(NullFormatter())
    _format_differences(axes.xaxis, panel.scale)


def _format_differences(axis: Axis, scale: str) -> None:
    """Has an axis say its differences in the unit of their scale."""
    if scale == "ratio":
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    elif scale == "share":
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}".replace("-", "−")))
    axis.set_label_text({"ratio": "ratio", "share": "difference, percentage points"}.get(scale, "difference"))


def _names(panel: Panel) -> list[str]:
    return fitted([estimate.name for estimate in panel.estimates])


def _height_of(label: str) -> float:
    return 0.18 + 0.18 * (label.count("\n") + 1)


def _height(panel: Panel) -> float:
    """Returns the inches that a panel's rows take."""
    return sum(map(_height_of, _names(panel)))


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if len(labels) > _MOST_LABELS:
        return
    labels = fitted(labels)
    longest = max(len(line) for label in labels for line in label.split("\n"))
    columns = max(1, min(len(labels), 4, int(figure.get_figwidth() * 11 / (longest + 6))))
    lines = math.ceil(len(labels) / columns) * max(label.count("\n") + 1 for label in labels)
    figure.set_figheight(figure.get_figheight() + 0.17 * max(0, lines - 2))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize="small")
