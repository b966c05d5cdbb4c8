"""Checks of a composed configuration's values, as far as they need neither torch nor data."""

import math
import re
from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from omegaconf import DictConfig, OmegaConf

from ablate.config.edits import EDITS, PLACED, Edit
from ablate.config.schema import RERUN
from ablate.messages import nearest

POSITIONS = ("before", "after")
DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("fp32", "tf32", "bf16")

# What a folder or file may be called: it becomes part of a path.
_SAFE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")


def validate(cfg: DictConfig) -> None:
    """Checks every value that needs neither torch nor data to judge.

    Raises:
        ValueError: An impossible value; the message names its key and the way out.
    """
    missing = sorted(OmegaConf.missing_keys(cfg))
    if missing:
        raise ValueError(f"{missing[0]} is not set; set it with {missing[0]}=…")
    _at_least("seed", cfg.seed, 0)
    _one_of("rerun", cfg.rerun, RERUN)
    for name in cfg.allow:
        if not all(part.isidentifier() for part in name.split(".")):
            raise ValueError(f"allow={name}: name a Python package or module, such as mypackage")
    _at_least("train.epochs", cfg.train.epochs, 1)
    _at_least("train.max_retries", cfg.train.max_retries, 0)
    _at_least("train.batch_size", cfg.train.batch_size, 1)
    _safe_name("study.name", cfg.study.name)
    _safe_name("model.name", cfg.model.name)
    _validate_optimizer(cfg.optimizer)
    _validate_scheduler(cfg.scheduler)
    if cfg.data.subset is not None:
        _at_least("data.subset", cfg.data.subset, 1)
    _at_least("data.validation", cfg.data.validation, 0)
    _at_least("data.padding", cfg.data.padding, 0)
    _one_of("hardware.device", cfg.hardware.device, DEVICES)
    _one_of("hardware.precision", cfg.hardware.precision, PRECISIONS)
    if cfg.hardware.threads is not None:
        _at_least("hardware.threads", cfg.hardware.threads, 1)
    model_edits(cfg.model)


def _validate_optimizer(optimizer: DictConfig) -> None:
    _finite("optimizer.lr", optimizer.lr)
    if optimizer.lr <= 0:
        raise ValueError(f"optimizer.lr={optimizer.lr}: the learning rate must be above 0")
    _finite("optimizer.weight_decay", optimizer.weight_decay)
    _at_least("optimizer.weight_decay", optimizer.weight_decay, 0)
    if "momentum" in optimizer:
        _share("optimizer.momentum", optimizer.momentum)
        if optimizer.nesterov and optimizer.momentum == 0:
            raise ValueError(
                "optimizer.nesterov=true needs a momentum: set optimizer.momentum or optimizer.nesterov=false"
            )
    if "betas" in optimizer:
        if len(optimizer.betas) != 2:
            raise ValueError(f"optimizer.betas={list(optimizer.betas)}: Adam takes two")
        for beta in optimizer.betas:
            _share("optimizer.betas", beta)
        _at_least("optimizer.eps", optimizer.eps, 0)


def _validate_scheduler(scheduler: DictConfig) -> None:
    for key in ("div_factor", "final_div_factor"):
        if key in scheduler and not scheduler[key] > 0:
            raise ValueError(f"scheduler.{key}={scheduler[key]}: must be above 0")
    if "pct_start" in scheduler:
        _share("scheduler.pct_start", scheduler.pct_start)
    if "eta_min" in scheduler:
        _at_least("scheduler.eta_min", scheduler.eta_min, 0)


def model_edits(model: DictConfig) -> dict[str, Edit]:
    """Returns the edits of a model option by name, in the order they are made.

    Raises:
        ValueError: An edit that is not one; the message names its key and the way out.
    """
    return {str(name): _edit(f"model.edits.{name}", str(name), edit) for name, edit in model.edits.items()}


def _edit(key: str, name: str, raw: Any) -> Edit:
    if not name.isidentifier():
        raise ValueError(f"{key}: a new layer's name must be a Python name, such as drop3")
    if not isinstance(raw, DictConfig):
        raise ValueError(
            f"{key}={raw}: an edit is a mapping, such as {{insert: after, at: c1, layer: {{_target_: …}}}}"
        )
    names = [item.name for item in fields(Edit)]
    for part, value in ((str(part), value) for part, value in raw.items()):
        if part not in names:
            raise ValueError(f"{key}.{part}: an edit has no such key; {nearest(part, names)}")
        if part in ("layer", "set") and not isinstance(value, DictConfig | None):
            what = "a layer is a mapping with a _target_ and its" if part == "layer" else "give a mapping of"
            raise ValueError(f"{key}.{part}={value}: {what} arguments")
        if part not in ("layer", "set") and not isinstance(value, str | None):
            raise ValueError(f"{key}.{part}={value}: must be a name")
    plain: dict[Any, Any] = OmegaConf.to_container(raw, resolve=True)  # type: ignore[assignment]
    edit = Edit(**plain)

    chosen = [kind for kind in EDITS if getattr(edit, kind) is not None]
    if len(chosen) != 1:
        given = " and ".join(chosen) if chosen else "none of them"
        raise ValueError(f"{key}: an edit is one of {', '.join(EDITS[:-1])} and {EDITS[-1]}; this one has {given}")
    (kind,) = chosen
    if edit.insert is not None:
        _one_of(f"{key}.insert", edit.insert, POSITIONS)
    if kind in PLACED:
        if edit.at is None and edit.type is None:
            place = f"insert {edit.insert}" if edit.insert is not None else "change"
            raise ValueError(f"{key}.at is not set: name the layer to {place}")
    elif edit.at is not None:
        raise ValueError(f"{key}.at={edit.at}: only {' and '.join(PLACED)} take it; {kind} names its layer itself")
    if kind not in ("insert", "replace"):
        if edit.layer is not None:
            raise ValueError(f"{key}.layer: {kind} takes no layer; use replace to put one in a layer's place")
    elif edit.layer is None or "_target_" not in edit.layer:
        raise ValueError(f"{key}.layer._target_ is not set: name the new layer's class, such as torch.nn.Dropout")
    if edit.set is not None and not edit.set:
        raise ValueError(f"{key}.set={{}}: name the arguments to change, such as {{p: 0.2}}")
    return edit


def _one_of(key: str, value: str, choices: Iterable[str]) -> None:
    choices = tuple(choices)
    if value not in choices:
        raise ValueError(f"{key}={value}: there is no such choice; {nearest(value, choices)}")


def _at_least(key: str, value: float, bound: int) -> None:
    if not value >= bound:
        raise ValueError(f"{key}={value}: must be at least {bound}")


def _share(key: str, value: float) -> None:
    if not 0 <= value < 1:
        raise ValueError(f"{key}={value}: must be at least 0 and below 1")


def _finite(key: str, value: float) -> None:
    if not math.isfinite(value):
        raise ValueError(f"{key}={value}: must be a finite number")


def _safe_name(key: str, value: str) -> None:
    if not _SAFE_NAME.fullmatch(value):
        raise ValueError(f"{key}={value!r}: names a folder, so use letters, digits, '_', '-', '.' and '+' only")
