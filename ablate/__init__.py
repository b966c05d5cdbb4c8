"""ablate: ablation studies of neural networks, from one command to a tested conclusion."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ablate.report.study.collect import Runs
    from ablate.tasks.run import Run
    from ablate.tasks.task import task

__version__ = "0.1.0"

__all__ = ["Run", "load_runs", "task"]


def load_runs(path: str | Path) -> Runs:
    """Returns the complete runs of a study, or of all studies in a folder, as tidy frames.

    Args:
        path: The study's folder, or one that holds studies.

    Returns:
        A pair of frames. `runs` has a row a run: study, run, variant, seed, and a column for each metric (accuracies as
        shares, times in seconds). `epochs` has a row an epoch: study, run, variant, seed, and those of epochs.csv.

    Raises:
        ValueError: There is no complete run.
    """
    from ablate.report.study.collect import load_runs  # pandas, which nobody else's import of ablate waits for

    return load_runs(Path(path))


def __getattr__(name: str) -> Any:
    """Imports `task` and `Run` as they are asked for: Hydra, which they need, is not for every import of ablate."""
    if name == "task":
        from ablate.tasks.task import task

        return task
    if name == "Run":
        from ablate.tasks.run import Run

        return Run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
