"""ablate: ablation studies of neural networks, from one command to a tested conclusion."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ablate.report.output.notebook import Shown
    from ablate.report.study.collect import Runs
    from ablate.tasks.recording import Recording
    from ablate.tasks.run import Run
    from ablate.tasks.task import task

__version__ = "0.1.0"

__all__ = ["Run", "ablation_tables", "load_runs", "record", "task"]


def load_runs(path: str | Path) -> Runs:
    """Returns the complete runs of a study, or of all studies in a folder, as tidy frames.

    Args:
        path: The study's folder, or one that holds studies.

    Returns:
        A pair of frames. `runs` has a row for each run: study, run, variant, seed, and a column for each metric
        (accuracies as shares, times in seconds). `epochs` has a row for each epoch: the columns of epochs.csv beside
        study, run, variant and seed.

    Raises:
        ValueError: There is no complete run.

    Example:
        >>> runs, epochs = load_runs("outputs/demo")
        >>> runs.groupby("variant")["seed"].apply(list).to_dict()
        {'bn_dropout': [1], 'dropout': [0, 1], 'plain': [0, 1]}
        >>> list(epochs.columns)[:4]
        ['study', 'epoch', 'lr', 'train_loss']
    """
    from ablate.report.study.collect import load_runs  # imports pandas, which training does without

    return load_runs(Path(path))


def ablation_tables(path: str | Path) -> list[Shown]:
    """Returns the tables for a paper of a study, or of all studies in a folder; a notebook shows each.

    Args:
        path: The study's folder, or one that holds studies.

    Raises:
        ValueError: There is no complete run, or a table names what is not there.

    Example:
        >>> (table,) = ablation_tables("outputs/demo")
        >>> print(table)  # doctest: +ELLIPSIS
        LeNet-5 on handwritten digits: test accuracy after the last epoch, mean ± standard deviation over 1 to 2 seeds.
        ...
    """
    from ablate.report.output.notebook import ablation_tables  # imports pandas, which training does without

    return ablation_tables(Path(path))


def record(
    variant: str, seed: int, *, study: str | None = None, metric: str | None = None, baseline: str | None = None,
    out: str | Path = "outputs", **settings: Any,
) -> Recording:  # fmt: skip
    """Records a run of any script in a run directory, which `ablate report`, `status` and `load_runs` read.

    Args:
        variant: What tables call it.
        seed: What pairs it with the runs of other variants.
        study: What it belongs to; the script's name if left out.
        metric: What the study is about; if left out, of what is logged the best evidence: an accuracy before a loss, of
            test images before validation images.
        baseline: The variant that the others are compared with; if left out, `plain` or the like, or else the first.
        out: Where studies are.
        settings: What else makes the run what it is, and tells variants of one name apart.

    Returns:
        A run for a `with` block, with `log`, `stream` and `loading`. A run that is recorded again is replaced; one
        whose block raises has failed.

    Raises:
        ValueError: A name cannot be that of a folder.

    Example:
        >>> for seed in range(2):
        ...     with record("wide", seed, study="mine", lr=0.1) as run:
        ...         for epoch in (1, 2):
        ...             run.log(epoch=epoch, val_accuracy=0.3 * epoch)
        >>> load_runs("outputs/mine").runs[["variant", "seed", "val_accuracy"]].values.tolist()
        [['wide', 0, 0.6], ['wide', 1, 0.6]]
    """
    from ablate.tasks.recording import Recording

    return Recording(variant, seed, study, metric, baseline, out, **settings)


def __getattr__(name: str) -> Any:
    """Imports `task` and `Run` when they are asked for, since they import Hydra."""
    if name == "task":
        from ablate.tasks.task import task

        return task
    if name == "Run":
        from ablate.tasks.run import Run

        return Run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
