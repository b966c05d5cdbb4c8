"""Figures. Each function draws the numbers that it is given and computes none."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path

import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

# The colours of M. Okabe and K. Ito, told apart with any colour vision; black and yellow left out.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")


def colours(variants: Sequence[str]) -> dict[str, str]:
    """Returns the colour of each variant, the same in every figure."""
    return dict(zip(variants, cycle(_COLOURS), strict=False))


def learning_curves(curves: Mapping[str, pd.DataFrame], palette: Mapping[str, str]) -> Figure:
    """Draws a panel for each metric: a line for each variant's mean, a band from its lowest to its highest seed.

    Args:
        curves: By the panel's title; columns variant, epoch, mean, min, max.
        palette: Colour by variant.
    """
    figure = Figure(figsize=(5 * len(curves), 4), layout="constrained")
    panels = figure.subplots(1, len(curves), squeeze=False)[0]
    for axes, (title, frame) in zip(panels, curves.items(), strict=True):
        for variant, rows in frame.groupby("variant", sort=False):
            colour = palette[str(variant)]
            axes.plot(rows["epoch"], rows["mean"], color=colour, label=variant, marker="o" if len(rows) < 3 else None)
            axes.fill_between(rows["epoch"], rows["min"], rows["max"], color=colour, alpha=0.2, linewidth=0)
        axes.set_title(title)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        if "accuracy" in title:
            axes.yaxis.set_major_formatter(PercentFormatter(1))
        else:
            axes.set_ylabel("cross-entropy")
    panels[0].legend(frameon=False)
    return figure


def accuracy_against_time(runs: pd.DataFrame, palette: Mapping[str, str]) -> Figure:
    """Draws a point for each run.

    Args:
        runs: Columns variant, total_seconds, test_accuracy_final.
        palette: Colour by variant.
    """
    figure = Figure(figsize=(5, 4), layout="constrained")
    axes = figure.subplots()
    for variant, rows in runs.groupby("variant", sort=False):
        axes.scatter(rows["total_seconds"], rows["test_accuracy_final"], color=palette[str(variant)], label=variant)
    axes.set_xlabel("time of a run: training, evaluation and data, seconds")
    axes.set_ylabel("test accuracy after the last epoch")
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return figure


def save(figure: Figure, stem: Path) -> None:
    """Writes a figure as PNG and SVG; the same figure gives the same bytes."""
    with rc_context({"svg.hashsalt": "ablate", "svg.fonttype": "none"}):
        figure.savefig(stem.with_suffix(".svg"), metadata={"Date": None})
        figure.savefig(stem.with_suffix(".png"), dpi=150, metadata={"Software": None})
