"""What a run needs before its first step: config -> data, model, optimizer, all checked."""

import hashlib
import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from ablate.config.identity import but_seed
from ablate.config.plain import loader_arguments, plain
from ablate.config.schema import Config, DataConfig
from ablate.config.targets import check_targets, resolve
from ablate.data.arrays import NAMES, from_arrays
from ablate.data.batches import EvaluationBatches, Normalise, TrainingBatches, pad
from ablate.data.images import ImageData
from ablate.files import PlainMapping, file_state
from ablate.messages import nearest
from ablate.models.variant import SAMPLE, Variant, build, prove_batch, rewrite_exactly, scores_of
from ablate.records.epochs import TIMES, last_of, split_statistic
from ablate.records.record import ModelFacts
from ablate.seeding import CPU
from ablate.stacking.rewrites import rewrite as rewrite_model
from ablate.trackers.base import check_loggers
from ablate.training.augment import Augment
from ablate.training.cohort import Cohort, Trainee
from ablate.training.cuda_graph import GraphedStep
from ablate.training.hardware import choose_device
from ablate.training.loop import Training
from ablate.training.loss import build_loss
from ablate.training.meters import Meters
from ablate.training.metrics import Metrics
from ablate.training.optimization import build_average, build_optimizer, build_scheduler
from ablate.training.step import Step


@dataclass(frozen=True)
class Prepared:
    """All that a run needs before its first step, checked."""

    data: ImageData
    variant: Variant
    trainee: Trainee  # the variant's model with its optimizer and schedule, on its device
    device: torch.device


def prepare(cfg: Config, rewrite: bool = True) -> Prepared:
    """Checks a run's configuration and makes ready what it describes; starts and writes nothing.

    ValueError says what in it is impossible. `rewrite` allows the exact rewrites that the configuration wants.
    """
    check_targets(plain(cfg), cfg.allow)
    check_loggers(cfg.logger)
    device = choose_device(cfg.hardware)
    data = load_data(cfg.data, cfg.seed)
    if cfg.data.split is not None and data.validation is None:
        raise ValueError(f"data.split={cfg.data.split}: no images are held out; set how many with data.validation=…")
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
    _check_metric(cfg, metrics)
    images = first_images(data, cfg)
    sample = hashlib.sha256(images.contiguous().numpy().data).hexdigest()
    key = (rewrite, len(data.train), sample, but_seed(cfg))
    known = _proved.get(key)  # what fits together with one seed does with all
    variant = _build(cfg, data, images, known)
    if known is None:
        _prove_last_batch(cfg.train.batch_size, len(data.train), variant, cfg.seed, images)
        _prove_training(cfg, data, variant, images)
        rewrites = rewrite_exactly(variant, cfg.seed, images) if rewrite and cfg.hardware.rewrite else []
        variant = replace(variant, record=replace(variant.record, rewrites=tuple(rewrites)))
        _proved[key] = variant.record
    elif known.rewrites:
        rewrite_model(variant.model)
    memory_format = torch.channels_last if cfg.hardware.channels_last else torch.contiguous_format
    model = variant.model.to(device=device, memory_format=memory_format)  # type: ignore[call-overload]
    optimizer = build_optimizer(plain(cfg.optimizer), model, _graphed(cfg, device))
    steps = cfg.train.epochs * math.ceil(len(data.train) / cfg.train.batch_size)
    scheduler = build_scheduler(plain(cfg.scheduler), optimizer, steps)
    loss, train = build_loss(cfg.loss, device), cfg.train
    average = build_average(model, train.ema_decay, train.swa_from)
    trainee = Trainee(model, variant.layers, optimizer, scheduler, loss, train.clip_norm, average, train.swa_from)
    return Prepared(data, variant, trainee, device)


def _build(cfg: Config, data: ImageData, images: Tensor, known: ModelFacts | None) -> Variant:
    model = cfg.model
    variant = build(
        model.base, model.edits, cfg.seed, data.train.shape, len(data.classes), images, model.weights, known
    )
    if model.weights is not None and model.weights_sha256 not in variant.record.files.values():
        raise ValueError(f"model.weights={model.weights}: is another file now than as the run was asked for")
    return variant


def _check_metric(cfg: Config, known: Sequence[str]) -> None:
    """Raises ValueError where a run will not have the study's metric."""
    metric = cfg.study.metric
    name, statistic = split_statistic(metric)
    if name not in known or (name in (*TIMES, "total_seconds") and metric != name):
        raise ValueError(f"study.metric={metric}: no such metric; {nearest(metric, known)}")
    if (last_of(statistic) or 0) > cfg.train.epochs:
        raise ValueError(f"study.metric={metric}: a run has only train.epochs={cfg.train.epochs}; take fewer")
    if statistic == "at_best_validation" and cfg.data.validation == 0:
        raise ValueError(f"study.metric={metric}: there are no validation images; hold some out with data.validation=…")


def first_images(data: ImageData, cfg: Config) -> Tensor:
    """Returns a small batch of the first training images as a model takes them, on the CPU."""
    images = next(data.train[slice(0, min(SAMPLE, cfg.train.batch_size))].chunks())
    return Normalise(data, CPU, cfg.hardware.channels_last)(pad(images, 0))


def _prove_last_batch(size: int, images: int, variant: Variant, seed: int, sample: Tensor) -> None:
    """Trains on as many images as the last batch of an epoch has, if those are few: one fails under batch norm."""
    last = images % size
    if not 0 < last < len(sample):
        return
    fitting = next((other for other in range(size - 1, 0, -1) if images % other == 0 or images % other >= SAMPLE), 1)
    key = (
        f"train.batch_size={size}: the last batch of {images} training images has {last}; take another size, such as "
        f"{fitting}"
    )
    prove_batch(variant, seed, sample[:last], key)


def _prove_training(cfg: Config, data: ImageData, variant: Variant, sample: Tensor) -> None:
    """Refuses augmentations and a loss that do not fit the images, the labels or the model's scores."""
    few = slice(0, len(sample))
    images, labels = pad(next(data.train[few].chunks()), 0), data.train.labels[few]
    if cfg.augment:
        _, labels = Augment(cfg.augment, len(data.classes))(images, labels, cfg.seed, 0, 0)
    if (loss := build_loss(cfg.loss, CPU)) is not None:
        loss.prove(scores_of(variant, cfg.seed, sample), labels)


def assemble(cfg: Config, runs: Sequence[Prepared], seeds: Sequence[int]) -> Training:
    """Returns what trains prepared runs, of the same data, hardware and training, alone or in lock-step."""
    data, device = runs[0].data, runs[0].device
    step = make_step(cfg, runs, seeds)
    batches = TrainingBatches(data.train, cfg.train.batch_size, cfg.data.padding, cfg.data.flip, seeds[0], device)
    return Training(
        step,
        [batches.of_seed(seed) for seed in step.cohort.sources],
        {name: EvaluationBatches(split, device) for name, split in data.evaluated.items()},
        Metrics(cfg.metrics, data.classes, device),
        Meters(cfg.metrics, device),
        Augment(cfg.augment, len(data.classes)) if cfg.augment else None,
    )


def make_step(cfg: Config, runs: Sequence[Prepared], seeds: Sequence[int], graph: bool = True) -> Step:
    """Returns what trains prepared runs on a batch, as `assemble` says; a CUDA graph only if it may be one."""
    data, device = runs[0].data, runs[0].device
    cohort = Cohort([run.trainee for run in runs], seeds, device, cfg.hardware.rewrite)
    kind = GraphedStep if graph and _graphed(cfg, device) else Step
    return kind(cohort, Normalise(data, device, cfg.hardware.channels_last), cfg.hardware.precision)


def _graphed(cfg: Config, device: torch.device) -> bool:
    return bool(device.type == "cuda" and cfg.hardware.graph)


_MOST_STATES = 20_000  # of files, to look at which takes a fifth of a second
_proved: dict[object, ModelFacts] = {}  # of the variants that were proved in this process
_loaded: dict[str, ImageData] = {}  # the data used last, for the next job of a sweep


def load_data(config: DataConfig, seed: int) -> ImageData:
    """Returns a data option's images; the last one used stays in memory."""
    own = loader_arguments(config)
    seed = 0 if config.split is None else seed
    same = [config._target_, config.name, config.subset, config.validation, seed, own, *_file_states(own.values())]
    if (key := json.dumps(same)) not in _loaded:  # the same arguments are the same data, as long as the files are
        data = _load_data(config, own, seed)
        _loaded.clear()
        _loaded[key] = data
    return _loaded[key]


def _file_states(values: Iterable[object]) -> Iterator[tuple[int, ...]]:
    """Yields what changes with the content of the files that the values name, or whose folders they name."""
    for value in values:
        path = Path(value).expanduser() if isinstance(value, str) and value else None
        if path is not None and path.exists():
            files = path.rglob("*") if path.is_dir() else iter([path])
            yield from (file_state(file) for file in itertools.islice(files, _MOST_STATES) if file.exists())


def _load_data(config: DataConfig, own: PlainMapping, seed: int) -> ImageData:
    found = resolve("data", {"_target_": config._target_, **own})()
    data = from_arrays(found, config.name) if isinstance(found, Mapping) else found  # a function of the user's
    if not isinstance(data, ImageData):
        raise ValueError(
            f"data._target_={config._target_}: returned a {type(data).__name__}; expected a mapping of the arrays "
            f"{', '.join(NAMES)}"
        )
    if config.subset is not None:
        data = data.subset(config.subset)
    return data.hold_out(config.validation, seed) if config.validation > 0 else data
