"""The schema of a run's configuration: what Hydra checks keys and types against."""

from dataclasses import dataclass, field, fields
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf

from ablate.config.design import settle
from ablate.config.identity import run_id


@dataclass
class ModelConfig:
    """A base model and its edits, keyed by the name of the new layer."""

    name: str = MISSING
    base: dict[str, Any] = MISSING
    # Each value is an Edit; left untyped because the command line cannot add a typed one (+model.edits.x={...}).
    edits: dict[str, Any] = field(default_factory=dict)
    components: list[str] | None = None  # those of study.components that are in; all if not set


@dataclass
class OptimizerConfig:
    _target_: str = MISSING
    lr: float = MISSING
    weight_decay: float = 0.0


@dataclass
class AdamConfig(OptimizerConfig):
    betas: list[float] = field(default_factory=lambda: [0.9, 0.999])
    eps: float = 1e-8


@dataclass
class SGDConfig(OptimizerConfig):
    momentum: float = 0.0
    nesterov: bool = False


@dataclass
class SchedulerConfig:
    _target_: str | None = None


@dataclass
class CosineConfig(SchedulerConfig):
    eta_min: float = 0.0


@dataclass
class OneCycleConfig(SchedulerConfig):
    pct_start: float = 0.3  # share of the steps in which the learning rate rises
    div_factor: float = 25.0  # maximum over initial learning rate
    final_div_factor: float = 1e4  # initial over final learning rate
    cycle_momentum: bool = True


@dataclass
class DataConfig:
    _target_: str = MISSING
    name: str = MISSING
    subset: int | None = None  # the first N images of each class
    validation: int = 0  # training images held out
    padding: int = 4  # pixels on each side before the random crop
    flip: bool = True  # random horizontal flip


@dataclass
class Cifar10Config(DataConfig):
    root: str | None = None  # a folder with cifar-10-batches-py, instead of a download


@dataclass
class TorchvisionConfig(DataConfig):
    dataset: str = MISSING  # its class in torchvision.datasets
    root: str | None = None  # a folder with its files, instead of a download
    size: int | None = None  # height and width to bring the images to


@dataclass
class FolderConfig(DataConfig):
    path: str = MISSING  # with train/CLASS/FILE and test/CLASS/FILE
    size: int = 32  # height and width to bring the images to
    stream: bool = False  # read files as they are needed, not all at first
    workers: int = 2  # processes that read files


@dataclass
class NpzConfig(DataConfig):
    path: str = MISSING  # an .npz file


@dataclass
class FunctionConfig(DataConfig):
    arguments: dict[str, Any] = field(default_factory=dict)  # of the function that _target_ names


@dataclass
class TrainConfig:
    epochs: int = MISSING
    batch_size: int = MISSING
    max_retries: int = 0  # of a run that raises, each after its last complete epoch


@dataclass
class HardwareConfig:
    device: str = "auto"
    threads: int | None = None  # CPU threads; torch's own choice if not set
    precision: str = "fp32"
    channels_last: bool = True
    rewrite: bool = True  # swap layers where that changes no value, bit for bit, and saves time
    graph: bool = True  # on a CUDA GPU, start a step's kernels as one CUDA graph
    deterministic: bool = False  # only algorithms that give the same bits each time


@dataclass
class PublishedConfig:
    """Figures of the study that is repeated: variant -> metric -> statistic -> number.

    The statistics are `final`, `maximum` and `minimum` over epochs, and `total` for times.
    """

    source: str = ""
    epochs: int | None = None
    variants: dict[str, Any] = field(default_factory=dict)


@dataclass
class StudyConfig:
    name: str = MISSING
    title: str = ""
    baseline: str = "plain"  # of a design, its first variant instead
    design: str | None = None  # makes variants of the model's components: see ablate/config/design.py
    components: Any = None  # names of edits, or whether each is in at first by name; all edits if not set
    metric: str = "test_accuracy"  # what a run returns to Hydra's sweeper: its value after the last epoch
    claims: list[Any] = field(default_factory=list)  # what the report judges; its form is in ablate/report/claims.py
    published: PublishedConfig = field(default_factory=PublishedConfig)


@dataclass
class Config:
    seed: int = 0
    rerun: str = "failed"  # what of an earlier start to run again: never, failed, stale or all
    allow: list[str] = field(default_factory=list)  # packages beside torch's and ours whose code the config may name
    store: str | None = None  # where runs keep copies of their files beside their folders, such as s3://bucket/runs
    model: ModelConfig = MISSING
    optimizer: OptimizerConfig = MISSING
    scheduler: SchedulerConfig = MISSING
    data: DataConfig = MISSING
    train: TrainConfig = field(default_factory=TrainConfig)
    hardware: HardwareConfig = MISSING
    study: StudyConfig = MISSING
    metrics: dict[str, Any] = field(default_factory=dict)  # further ones, by name: _target_ and arguments
    logger: dict[str, Any] = field(default_factory=dict)  # trackers by name: _target_ and arguments


def register() -> None:
    """Makes the schema and the `run_id` resolver known to Hydra; to be called before composing."""
    store = ConfigStore.instance()
    store.store(name="schema", node=Config)
    # Stored outside the groups so that the options a user can choose from are the files in conf/ alone.
    for name, node in {
        "adam_schema": AdamConfig,
        "sgd_schema": SGDConfig,
        "cosine_schema": CosineConfig,
        "one_cycle_schema": OneCycleConfig,
        "cifar10_schema": Cifar10Config,
        "torchvision_schema": TorchvisionConfig,
        "folder_schema": FolderConfig,
        "npz_schema": NpzConfig,
        "function_schema": FunctionConfig,
    }.items():
        store.store(name=name, node=node)
    OmegaConf.register_new_resolver("run_id", _run_id, replace=True)
    OmegaConf.register_new_resolver("variant", _variant, replace=True)


def _run_id(*, _root_: DictConfig) -> str:
    return run_id(_settled(_root_))


def _variant(*, _root_: DictConfig) -> str:
    return str(_settled(_root_).model.name)


def _settled(root: DictConfig) -> DictConfig:
    if root.study.design is None and root.model.components is None:
        return root
    cfg = OmegaConf.create({key: root[key] for key in root if key != "hydra"}, flags={"struct": True})
    assert isinstance(cfg, DictConfig)
    settle(cfg)
    return cfg


def loader_arguments(data: DictConfig) -> dict[str, Any]:
    """Returns the keys of a data option that are its loader's own, not common to all data sets."""
    common = {item.name for item in fields(DataConfig)}
    own = {str(key): value for key, value in data.items() if key not in common}
    arguments = own.pop("arguments", {})
    return {**own, **arguments}


# What `rerun` can be, each doing what the ones before it do as well. Runs that were stopped always go on.
RERUN = ("never", "failed", "stale", "all")
