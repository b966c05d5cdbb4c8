"""The schema of a run's configuration: every key, its type, its default, and what it means.

Hydra checks what is typed against these classes, see `compose`; below the commands, a configuration is a `Config`.
"""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from ablate.config.design import DESIGNS
from ablate.config.edits import Edit
from ablate.config.keys import key
from ablate.files import Plain

# What `rerun` can be, each doing what the ones before it do as well. Runs that were interrupted are always resumed.
RERUN = ("never", "failed", "stale", "all")
TESTS = ("auto", "fixed", "anytime")
PAIRINGS = ("paired", "unpaired")
BETTER = ("higher", "lower")
CELLS = ("sd", "interval", "median", "mean")  # of a table: mean ± SD, mean [95 % interval], median [range], mean
MARKS = ("best", "second", "near", "significance")
BESIDE = ("parameters", "flops", "time")
WIDTHS = ("single", "double")
FORMATS = ("png", "pdf")  # of figures, beside SVG


@dataclass
class ModelConfig:
    """A base model and its edits, keyed by the name of the new layer."""

    name: str = key(alters=False, names_folder=True)
    base: Plain = key("`_target_` and arguments of the base model", cohort=True, clock=True)
    weights: str | None = key("a file with the base's weights: a state dict, or .safetensors", None, alters=False)
    weights_sha256: str | None = key("of that file; not to be set", None)
    edits: dict[str, Edit] = key("in the order in which they are made", make=dict, clock=True)


@dataclass
class Target:
    """A class or function to call, with its arguments: those declared here, and any others that it takes."""

    _target_: str = MISSING
    further: Plain = field(default_factory=dict, metadata={"omegaconf_ignore": True})  # arguments not declared here


@dataclass
class OptimizerConfig(Target):
    lr: float = key("learning rate", above=0)
    weight_decay: float = key(default=0.0, least=0)


@dataclass
class AdamConfig(OptimizerConfig):
    betas: list[float] = key(make=lambda: [0.9, 0.999], least=0, below=1)
    eps: float = key(default=1e-8, least=0)


@dataclass
class SGDConfig(OptimizerConfig):
    momentum: float = key(default=0.0, least=0, below=1)
    nesterov: bool = False


@dataclass
class SchedulerConfig(Target):
    _target_: str | None = None  # type: ignore[assignment]  # a constant learning rate has none


@dataclass
class CosineConfig(SchedulerConfig):
    eta_min: float = key("the last learning rate", 0.0, least=0)


@dataclass
class OneCycleConfig(SchedulerConfig):
    pct_start: float = key("share of the steps in which the learning rate rises", 0.3, least=0, below=1)
    div_factor: float = key("maximum over initial learning rate", 25.0, above=0)
    final_div_factor: float = key("initial over final learning rate", 1e4, above=0)
    cycle_momentum: bool = True


@dataclass
class DataConfig(Target):
    name: str = MISSING
    subset: int | None = key("the first N images of each class", None, least=1)
    validation: int = key("training images held out", 0, least=0)
    split: str | None = key("what draws the held-out images: the run's seed; the same for all runs if not set", None,
                            choices=("seed",))  # fmt: skip
    padding: int = key("pixels on each side before the random crop", 4, least=0)
    flip: bool = key("random horizontal flip", True)


@dataclass
class Cifar10Config(DataConfig):
    root: str | None = key("a folder with cifar-10-batches-py, instead of a download", None, alters=False, clock=False)


@dataclass
class TorchvisionConfig(DataConfig):
    dataset: str = key("its class in torchvision.datasets")
    root: str | None = key("a folder with its files, instead of a download", None, alters=False, clock=False)
    size: int | None = key("height and width to bring the images to", None)


@dataclass
class FolderConfig(DataConfig):
    path: str = key("with train/CLASS/FILE and test/CLASS/FILE")
    size: int = key("height and width to bring the images to", 32)
    stream: bool = key("read files as they are needed, not all at first", False, alters=False)
    workers: int = key("processes that read files", 2, alters=False)


@dataclass
class NpzConfig(DataConfig):
    path: str = key("an .npz file")


@dataclass
class FunctionConfig(DataConfig):
    arguments: Plain = key("of the function that `_target_` names", make=dict)


@dataclass
class TrainConfig:
    epochs: int = key(least=1)
    batch_size: int = key(least=1, clock=True)
    clip_norm: float | None = key("the largest norm of all gradients together, to which larger ones are scaled", None,
                                  above=0, cohort=False, clock=True)  # fmt: skip
    ema_decay: float | None = key("of a moving average of the weights, which is then what is evaluated", None,
                                  above=0, below=1, cohort=False, clock=True)  # fmt: skip
    swa_from: int | None = key("the first epoch whose weights go into a mean, which is then what is evaluated", None,
                               least=1, cohort=False, clock=True)  # fmt: skip
    max_retries: int = key("of a run that raises, each after its last complete epoch", 0, least=0, alters=False)


@dataclass
class HardwareConfig:
    device: str = key(default="auto", choices=("auto", "cpu", "cuda", "mps"))
    threads: int | None = key("CPU threads; torch's own choice if not set", None, least=1)
    precision: str = key(default="fp32", choices=("fp32", "tf32", "bf16"), alters=True, clock=True)
    channels_last: bool = True
    rewrite: bool = key("swap layers where that changes no value, bit for bit, and saves time", True)
    graph: bool = key("on a CUDA GPU, start a step's kernels as one CUDA graph", True)
    deterministic: bool = key("only algorithms that give the same bits each time", False)


@dataclass
class PublishedConfig:
    """Figures of the study that is repeated: variant -> metric -> statistic -> number.

    The statistics are `final`, `maximum` and `minimum` over epochs, and `total` for times.
    """

    source: str = ""
    epochs: int | None = None
    variants: Plain = field(default_factory=dict)


@dataclass
class MetricConfig:
    """What a metric is: of which direction, in which unit, and what reports call it."""

    better: str | None = key("which values are; what the words of its name say if not set", None, choices=BETTER)
    unit: str = key("of its values; %: they are shares from 0 to 1, and shown in percent", "")
    label: str = key("its name if not set", "")


@dataclass
class TableConfig:
    """A table for a paper: a row a variant, its components, and what it gives by metric and data set."""

    rows: Any = key(
        "variants by name or pattern, in order, or such lists by the title of a group; all if not set", None
    )
    columns: list[str] | None = key("metrics; the study's, and further ones of test images, if not set", None)
    across: str = key("the key whose values are columns beside each other, such as settings.dataset", "data.name")
    components: list[str] | None = key("those with a column of ✓ and –; all that the rows differ in if not set", None)
    names: dict[str, str] = key("what a row is called, by its variant", make=dict)
    headings: dict[str, str] = key("what a column is called, by its component, metric or data set", make=dict)
    cells: str = key("what is shown of the runs over seeds", "sd", choices=CELLS)
    against: str = key("the row that differences are to: baseline, full (the one with the most components), none, or a "
                       "variant", "baseline")  # fmt: skip
    marks: list[str] = key("near: not told apart from the best", make=lambda: list(MARKS), choices=MARKS)
    beside: list[str] = key("further columns; time is a ratio", make=list, choices=BESIDE)
    caption: str = key("in place of the one that is made", "")
    label: str = key("for LaTeX's references, in place of the one that is made", "")


@dataclass
class FiguresConfig:
    """Figures for a paper: their sizes and files."""

    single: float = key("inches of a column", 3.35, above=0)
    double: float = key("inches of both columns", 6.9, above=0)
    width: dict[str, str] = key("single or double, by a figure's name; by its panels if not set", make=dict)
    font_size: float = key("points", 8.0, above=0)
    formats: list[str] = key("beside SVG", make=lambda: list(FORMATS), choices=FORMATS)


@dataclass
class StudyConfig:
    name: str = key(names_folder=True)
    title: str = ""
    baseline: str = key("of a design, its first variant instead", "plain")
    design: str | None = key("makes variants of the model's components: see ablate/config/design.py", None,
                             choices=DESIGNS)  # fmt: skip
    components: Any = key("edits, and settings made where each is on or off, by name; all edits if not set", None)
    variants: Any = key("settings of each variant, by name, instead of a design", None)
    variant: Any = key("one of the variants, or a list of the components that are in", None)
    metric: str = key("what a run returns to Hydra's sweeper: its value after the last epoch", "test_accuracy")
    margin: float | None = key("the smallest difference in it that matters", None, above=0)
    test: str = key("for one look at the runs, for any number of looks, or by how the runs came", "auto", choices=TESTS)
    pairing: str = key("whether runs of one seed are compared as pairs", "paired", choices=PAIRINGS)
    claims: list[Any] = key("what the report judges; see ablate/report/analysis/claims.py", make=list)
    metrics: dict[str, MetricConfig] = key("what each metric is, of those that ablate does not know", make=dict)
    tables: dict[str, TableConfig] = key("tables for a paper, by name; one, `ablation`, if not set", make=dict)
    figures: FiguresConfig = key("how figures are drawn", make=FiguresConfig)
    published: PublishedConfig = field(default_factory=PublishedConfig)


@dataclass
class Config:
    seed: int = key(default=0, least=0, below=2**63, repeats=True, cohort=True)
    rerun: str = key("what of an earlier start to run again", "failed", choices=RERUN, alters=False)
    allow: list[str] = key("packages beside torch's and ours whose code the config may name", make=list,
                           alters=False, cohort=True)  # fmt: skip
    store: str | None = key("where runs keep copies of their files beside their folders, such as s3://bucket/runs",
                            None, alters=False)  # fmt: skip
    model: ModelConfig = MISSING
    optimizer: OptimizerConfig = key(clock=True)
    scheduler: SchedulerConfig = MISSING
    loss: Plain = key("`_target_` and arguments; cross-entropy if not set", make=dict, clock=True)
    augment: Plain = key("torchvision's v2 transforms of batches, by name, in their order", make=dict, cohort=True,
                         clock=True)  # fmt: skip
    data: DataConfig = key(cohort=True, clock=True)
    train: TrainConfig = key(make=TrainConfig, cohort=True)
    hardware: HardwareConfig = key(alters=False, cohort=True)
    study: StudyConfig = key(alters=False)
    metrics: Plain = key("further ones, by name: `_target_` and arguments", make=dict, alters=False,
                                  cohort=True)  # fmt: skip
    logger: Plain = key("trackers, by name: `_target_` and arguments", make=dict, alters=False)


# What an optimizer, a scheduler or a data set can say beside what all of them do; an option in conf/ names its own.
OPTIONS: dict[str, type[Target]] = {
    "adam_schema": AdamConfig,
    "sgd_schema": SGDConfig,
    "cosine_schema": CosineConfig,
    "one_cycle_schema": OneCycleConfig,
    "cifar10_schema": Cifar10Config,
    "torchvision_schema": TorchvisionConfig,
    "folder_schema": FolderConfig,
    "npz_schema": NpzConfig,
    "function_schema": FunctionConfig,
}
