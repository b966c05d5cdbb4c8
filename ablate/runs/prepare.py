"""What a run needs before its first step: config -> data, model, optimizer, all checked."""

import functools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from ablate.config.plain import loader_arguments, plain
from ablate.config.schema import Config, DataConfig
from ablate.config.targets import check_targets, resolve
from ablate.data.arrays import NAMES, from_arrays
from ablate.data.batches import EvaluationBatches, Normalise, TrainingBatches
from ablate.data.images import ImageData
from ablate.messages import nearest
from ablate.models.variant import Variant, build
from ablate.records.epochs import TIMES
from ablate.seeding import CPU
from ablate.stacking.rewrites import rewrite as make_rewrites
from ablate.trackers.base import check_loggers
from ablate.training.cohort import Cohort, Trainee
from ablate.training.cuda_graph import GraphedStep
from ablate.training.hardware import choose_device
from ablate.training.loop import Training
from ablate.training.meters import Meters
from ablate.training.metrics import Metrics
from ablate.training.optimization import build_optimizer, build_scheduler
from ablate.training.step import Step


@dataclass(frozen=True)
class Prepared:
    """All that a run needs before its first step, checked."""

    data: ImageData
    variant: Variant
    trainee: Trainee  # the variant's model with its optimizer and schedule, on its device
    device: torch.device


def prepare(cfg: Config, rewrite: bool = True) -> Prepared:
    """Checks a configuration and makes ready what it describes; starts and writes nothing.

    Args:
        cfg: A run's configuration.
        rewrite: Whether to make the exact rewrites, if the configuration wants them.

    Raises:
        ValueError: Something in it is impossible; the message names the key and the way out.
    """
    check_targets(plain(cfg), cfg.allow)
    check_loggers(cfg.logger)
    device = choose_device(cfg.hardware)
    data = load_data(cfg.data)
    if cfg.train.batch_size > len(data.train):
        raise ValueError(
            f"train.batch_size={cfg.train.batch_size}: there are only {len(data.train)} training images; take fewer"
        )
    further = Metrics(cfg.metrics, data.classes, CPU).names
    taken = Meters(cfg.metrics, device).names
    metrics = [
        *(f"{split}_{kind}" for split in ("train", *data.evaluated) for kind in ("loss", "accuracy")),
        *(f"{split}_{kind}" for split in data.evaluated for kind in further),
        *taken,
        *TIMES,
        "total_seconds",
    ]
    if cfg.study.metric not in metrics:
        raise ValueError(f"study.metric={cfg.study.metric}: no such metric; {nearest(cfg.study.metric, metrics)}")
    variant = build(cfg.model.base, cfg.model.edits, cfg.seed, data.train.shape, len(data.classes))
    rewrites = make_rewrites(variant.model) if rewrite and cfg.hardware.rewrite else []
    variant = replace(variant, record=replace(variant.record, rewrites=tuple(rewrites)))
    memory_format = torch.channels_last if cfg.hardware.channels_last else torch.contiguous_format
    model = variant.model.to(device=device, memory_format=memory_format)  # type: ignore[call-overload]
    optimizer = build_optimizer(plain(cfg.optimizer), model, _graphed(cfg, device))
    steps = cfg.train.epochs * math.ceil(len(data.train) / cfg.train.batch_size)
    scheduler = build_scheduler(plain(cfg.scheduler), optimizer, steps)
    return Prepared(data, variant, Trainee(model, variant.layers, optimizer, scheduler), device)


def assemble(cfg: Config, runs: Sequence[Prepared], seeds: Sequence[int]) -> Training:
    """Returns what trains prepared runs, one or several in lock-step.

    Args:
        cfg: The configuration of one of them; of data, hardware and training they have the same.
        runs: What to train.
        seeds: Of each.
    """
    data, device = runs[0].data, runs[0].device
    step = make_step(cfg, runs, seeds)
    batches = TrainingBatches(data.train, cfg.train.batch_size, cfg.data.padding, cfg.data.flip, seeds[0], device)
    return Training(
        step,
        [batches.of_seed(seed) for seed in step.cohort.sources],
        {name: EvaluationBatches(split, device) for name, split in data.evaluated.items()},
        Metrics(cfg.metrics, data.classes, device) if cfg.metrics else None,
        Meters(cfg.metrics, device) if cfg.metrics else None,
    )


def make_step(cfg: Config, runs: Sequence[Prepared], seeds: Sequence[int], graph: bool = True) -> Step:
    """Returns what trains prepared runs on a batch, as `assemble` says; a CUDA graph only if it may be one."""
    data, device = runs[0].data, runs[0].device
    cohort = Cohort([run.trainee for run in runs], seeds, device, cfg.hardware.rewrite)
    kind = GraphedStep if graph and _graphed(cfg, device) else Step
    return kind(cohort, Normalise(data, device, cfg.hardware.channels_last), cfg.hardware.precision)


def _graphed(cfg: Config, device: torch.device) -> bool:
    return bool(device.type == "cuda" and cfg.hardware.graph)


def load_data(config: DataConfig) -> ImageData:
    """Returns a data option's images; the last one used stays in memory, for the next job of a sweep.

    Raises:
        ValueError: The data is not there or is not what it should be, or has too few images for what is asked.
    """
    arguments = json.dumps(loader_arguments(config))  # the same arguments are the same data
    return _load_data(config._target_, config.name, config.subset, config.validation, arguments)


@functools.lru_cache(maxsize=1)
def _load_data(target: str, name: str, subset: int | None, validation: int, arguments: str) -> ImageData:
    found = resolve("data", {"_target_": target, **json.loads(arguments)})()
    data = from_arrays(found, name) if isinstance(found, Mapping) else found  # a function of the user's
    if not isinstance(data, ImageData):
        raise ValueError(
            f"data._target_={target}: returned a {type(data).__name__}; expected a mapping of the arrays "
            f"{', '.join(NAMES)}"
        )
    if subset is not None:
        data = data.subset(subset)
    if validation > 0:
        data = data.hold_out(validation)
    return data
