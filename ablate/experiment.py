"""One run, top to bottom: config -> data -> model -> training -> records."""

import functools
import hashlib
import json
import logging
import math
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from ablate import provenance
from ablate.config import loader_arguments, run_id
from ablate.data.batches import EvaluationBatches, Normalise, TrainingBatches, draw
from ablate.data.images import ImageData
from ablate.hardware import choose_device, configured, describe
from ablate.models.variant import Variant, build, layer_digests
from ablate.progress import EPOCH_LOGGER, Progress
from ablate.records import TIMES, RunDirectory, RunFailed, summarise, total_times
from ablate.suggest import nearest
from ablate.targets import resolve
from ablate.training.checkpoint import resume, save_checkpoint
from ablate.training.loop import Trainee, fit
from ablate.training.optimization import build_optimizer, build_scheduler
from ablate.validation import model_edits, validate

log = logging.getLogger(__name__)
epoch_log = logging.getLogger(EPOCH_LOGGER)


class Diverged(ArithmeticError):
    """A loss is no longer a finite number."""


@dataclass(frozen=True)
class Prepared:
    """All that a run needs before its first step, checked."""

    data: ImageData
    variant: Variant
    trainee: Trainee  # the variant's model with its optimizer and schedule, on its device
    device: torch.device


def run(cfg: DictConfig, folder: Path, progress: Progress, overrides: Sequence[str] = ()) -> float:
    """Trains one run, or goes on with it, or finds it complete.

    Args:
        cfg: The composed configuration, without Hydra's own node.
        folder: The run directory.
        progress: Shows how far the run is.
        overrides: What was typed to get this configuration, as Hydra tells; recorded.

    Returns:
        The study's metric after the last epoch.

    Raises:
        ValueError: The configuration is refused; nothing was started.
        RunFailed: The run started and failed; it is recorded as such.
    """
    directory = RunDirectory(folder)
    name = f"{cfg.model.name} seed {cfg.seed}"
    try:
        record = directory.read_record()
    except ValueError as error:
        log.warning("%s: %s; the record is written anew", _shown(folder), error)
        record = None
    if record is not None and record["status"] == "complete":
        log.info("%s is complete already: %s (delete the folder to run it again)", name, _shown(folder))
        progress.skip_run()
        return _metric(cfg, record)

    with configured(cfg.hardware):
        started = time.perf_counter()
        prepared = prepare(cfg)
        record = {**describe_run(cfg, prepared), "overrides": list(overrides)}
        directory.write_record(record)
        try:
            rows = train(cfg, prepared, directory, progress, name)
        except BaseException as error:
            record |= {"ended": _timestamp(), "error": _describe_error(error)}
            record["status"] = _status_after(error)
            with suppress(OSError):  # the error itself may be a full disk
                directory.write_record(record)
            if not isinstance(error, Exception):
                raise
            log.error("%s failed: %s: %s", name, type(error).__name__, error, exc_info=error)
            raise RunFailed(f"{name} failed: {error}\nIts log is {_shown(directory.log_file)}") from error
        record |= {
            "status": "complete",
            "ended": _timestamp(),
            "results": summarise(rows),
            "times": {**total_times(rows), "wall_seconds": time.perf_counter() - started},
            "load_after": provenance.load(),
        }
        directory.write_record(record)
    log.info(summary_line(name, record, folder))
    return _metric(cfg, record)


def prepare(cfg: DictConfig) -> Prepared:
    """Checks a configuration and makes ready what it describes; starts and writes nothing.

    Raises:
        ValueError: Something in it is impossible; the message names the key and the way out.
    """
    validate(cfg)
    device = choose_device(cfg.hardware)
    data = load_data(cfg.data)
    if cfg.train.batch_size > len(data.train):
        raise ValueError(
            f"train.batch_size={cfg.train.batch_size}: there are only {len(data.train)} training images; take fewer"
        )
    metrics = [
        *(f"{split}_{kind}" for split in ("train", *data.evaluated) for kind in ("loss", "accuracy")),
        *TIMES,
        "total_seconds",
    ]
    if cfg.study.metric not in metrics:
        raise ValueError(f"study.metric={cfg.study.metric}: no such metric; {nearest(cfg.study.metric, metrics)}")
    base: dict[str, Any] = _container(cfg.model.base)
    variant = build(base, model_edits(cfg.model), cfg.seed, tuple(data.train.images.shape[1:]), len(data.classes))
    memory_format = torch.channels_last if cfg.hardware.channels_last else torch.contiguous_format
    model = variant.model.to(device=device, memory_format=memory_format)  # type: ignore[call-overload]
    optimizer = build_optimizer(_container(cfg.optimizer), model)
    steps = cfg.train.epochs * math.ceil(len(data.train) / cfg.train.batch_size)
    scheduler = build_scheduler(_container(cfg.scheduler), optimizer, steps)
    return Prepared(data, variant, Trainee(model, variant.layers, optimizer, scheduler), device)


def load_data(config: DictConfig) -> ImageData:
    """Returns a data option's images; the last one used stays in memory, for the next job of a sweep.

    Raises:
        ValueError: The data is not there or is not what it should be, or has too few images for what is asked.
    """
    return _load_data(json.dumps(_container(config)))


@functools.lru_cache(maxsize=1)
def _load_data(config_json: str) -> ImageData:
    config = OmegaConf.create(config_json)
    assert isinstance(config, DictConfig)
    data: ImageData = resolve("data", {"_target_": config._target_, **loader_arguments(config)})()
    if config.subset is not None:
        data = data.subset(config.subset)
    if config.validation > 0:
        data = data.hold_out(config.validation)
    return data


def train(
    cfg: DictConfig, prepared: Prepared, directory: RunDirectory, progress: Progress, name: str
) -> list[dict[str, float]]:
    """Trains from the newest checkpoint, or from the start, and records each epoch as it ends.

    Returns:
        The rows of epochs.csv.
    """
    data, trainee, device = prepared.data, prepared.trainee, prepared.device
    batches = TrainingBatches(data.train, cfg.train.batch_size, cfg.data.padding, cfg.data.flip, cfg.seed, device)
    evaluated = {split: EvaluationBatches(images, device) for split, images in data.evaluated.items()}
    normalise = Normalise(data, device, cfg.hardware.channels_last)
    rows = resume(trainee, directory)
    if rows:
        log.info("%s goes on after epoch %d", name, len(rows))
    steps = len(batches)
    with progress.run(name, cfg.train.epochs * steps, len(rows) * steps) as on_step:
        epochs = range(len(rows), cfg.train.epochs)
        for row in fit(trainee, batches, evaluated, normalise, epochs, cfg.seed, cfg.hardware.precision, on_step):
            rows.append(row)
            directory.write_epochs(rows)
            epoch_log.info(
                "%s epoch %d of %d: training loss %.4f, test loss %.4f, test accuracy %.2f %%",
                name, len(rows), cfg.train.epochs, row["train_loss"], row["test_loss"], 100 * row["test_accuracy"],
            )  # fmt: skip
            if not (math.isfinite(row["train_loss"]) and math.isfinite(row["test_loss"])):
                raise Diverged(f"the loss is not finite after epoch {len(rows)}; a smaller optimizer.lr may help")
            save_checkpoint(trainee, directory, len(rows))
    return rows


def describe_run(cfg: DictConfig, prepared: Prepared) -> dict[str, Any]:
    """Returns the record of a run that starts: all of run.json but how it ends."""
    data = prepared.data
    order = draw(len(data.train), cfg.data.padding, cfg.data.flip, cfg.seed, epoch=0).order
    return {
        "status": "running",
        "id": run_id(cfg),
        "study": cfg.study.name,
        "variant": cfg.model.name,
        "seed": cfg.seed,
        "config": OmegaConf.to_container(cfg, resolve=True),
        "model": prepared.variant.record,
        "data": {
            "name": data.name,
            "sha256": data.digest,
            "images": {name: len(split) for name, split in {"train": data.train, **data.evaluated}.items()},
        },
        # What paired runs have in common: the report checks that it is.
        "pairing": {
            "initial_weights": layer_digests(prepared.trainee.model),
            "first_epoch_order": hashlib.sha256(order.numpy().data).hexdigest()[:16],
        },
        "provenance": {**provenance.collect(), **describe(prepared.device)},
        "started": _timestamp(),
    }


def summary_line(name: str, record: Mapping[str, Any], folder: Path) -> str:
    """Returns a finished run in one line: its result, its time and its folder."""
    accuracy, epochs = record["results"]["test_accuracy"], record["config"]["train"]["epochs"]
    return (
        f"{name}: test accuracy {accuracy['final']:.2%} after {epochs} epochs "
        f"(highest {accuracy['maximum']:.2%}, epoch {accuracy['maximum_epoch']}), "
        f"{record['times']['total_seconds']:.1f} s, {_shown(folder)}"
    )


def _metric(cfg: DictConfig, record: Mapping[str, Any]) -> float:
    metric = cfg.study.metric
    return float(record["times"][metric] if metric in record["times"] else record["results"][metric]["final"])


def _status_after(error: BaseException) -> str:
    if isinstance(error, Diverged):
        return "diverged"
    return "failed" if isinstance(error, Exception) else "interrupted"


def _describe_error(error: BaseException) -> dict[str, str]:
    return {
        "type": type(error).__name__,
        "message": str(error),
        "traceback": "".join(traceback.format_exception(error)),
    }


def _container(node: DictConfig) -> dict[str, Any]:
    plain = OmegaConf.to_container(node, resolve=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def _timestamp() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _shown(path: Path) -> Path:
    """The path as one would type it here."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
