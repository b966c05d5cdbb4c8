"""ablate: ablation studies of neural networks, from one command to a tested conclusion."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import pandas as pd

    from ablate.report.output.notebook import Shown
    from ablate.report.study.collect import Runs
    from ablate.tasks.recording import Recording
    from ablate.tasks.run import Run
    from ablate.tasks.task import task

__version__ = "0.1.0"

__all__ = ["Run", "ablation_tables", "compare", "load_runs", "record", "sweep", "task"]


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


def compare(
    frame: pd.DataFrame, metric: str | Sequence[str] = (), baseline: str | None = None, *, variant: str = "variant",
    seed: str = "seed",
) -> pd.DataFrame:  # fmt: skip
    """Returns how the variants in a frame compare with the baseline: the numbers that a report has.

    Args:
        frame: A row for each run, as in `load_runs(…).runs` or a table of one's own.
        metric: The column to compare, or several; if left out, those whose names say which way is better.
        baseline: The variant that the others are compared with; if left out, `plain` or the like, or else the first.
        variant: The column with the variant's name.
        seed: The column with what pairs runs, a seed or a fold; `none` if nothing does.

    Returns:
        A row for each metric and variant: the mean difference, its 95 % interval, and p-values before and after Holm's
        method over the variants, as in comparisons.csv.

    Raises:
        ValueError: A column is not there or holds no numbers, or two rows are of one variant and seed.

    Example:
        >>> runs, _ = load_runs("outputs/demo")
        >>> found = compare(runs, "test_accuracy")
        >>> found[["first", "second", "pairs"]].values.tolist()
        [['dropout', 'plain', 2], ['bn_dropout', 'plain', 1]]
    """
    from ablate.report.output.notebook import compare  # imports pandas, which training does without

    return compare(frame, metric, baseline, variant, seed)


def sweep(
    what: str | Callable[..., object], *overrides: str, variants: Mapping[str, Mapping[str, Any]] | None = None,
    seeds: Iterable[int] = range(3), config_dir: str | Path | None = None, **options: Any,
) -> Runs:  # fmt: skip
    """Sweeps over a study, or over a function of one's own, and returns the runs; those that are complete stay.

    Args:
        what: The name of a study's option, which the command `ablate -m study=…` trains, or a function that takes a run
            (see `record`) and a variant's settings.
        overrides: Of a study's command, such as `"model=plain,dropout"` and `"seed=0,1"`.
        variants: Of a function: the settings of each variant.
        seeds: Of a function.
        config_dir: Of a study: a folder of config groups beside ablate's own.
        options: Of a function: `study` (its name if left out), `metric`, `baseline` and `out`, as for `record`.

    Raises:
        ValueError: There is no such study, or there are no variants.
        RunFailed: The study's command has failed; an error of a function is raised as it is, its run recorded.

    Example:
        >>> def train(run, gain):
        ...     run.log(epoch=1, val_accuracy=0.5 + gain)
        >>> runs = sweep(train, variants={"plain": {"gain": 0.0}, "wide": {"gain": 0.25}}, seeds=range(2)).runs
        >>> compare(runs, "val_accuracy")["mean"].tolist()
        [0.25]
    """
    from ablate.sweeps.from_python import sweep_function, sweep_study  # imports pandas

    if isinstance(what, str):
        return sweep_study(what, overrides, config_dir)
    return sweep_function(what, variants or {}, seeds, **options)


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
