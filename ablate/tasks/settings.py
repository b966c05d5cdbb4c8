"""A task's configuration as plain data: what of it makes a run, and what a record says of it."""

import copy
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from enum import Enum
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import MISSING, DictConfig, ListConfig, OmegaConf, flag_override
from omegaconf.errors import InterpolationToMissingValueError, MissingMandatoryValue

from ablate.config.keys import Meaning, key, told
from ablate.config.schema import StudyConfig
from ablate.files import Plain, short_digest
from ablate.records.epochs import field_name
from ablate.trackers.base import is_tracker

_LEFT_OUT = object()
# What Hydra knows of one start of a run: its folder, whose name is made of the identity, and its place in a sweep.
_OF_ONE_START = ("runtime.output_dir", "run.dir", "sweep.subdir", "job.num", "job.id", "mode")


@dataclass
class TaskConfig:
    """What ablate reads of a task's configuration; all else is the task's own, and alters its results."""

    variant: str = key("what tables call it", alters=False)
    seed: int = key(repeats=True)
    study: StudyConfig = key(alters=False)
    rerun: str = key("what of an earlier start to run again", "failed", alters=False)
    logger: Plain = key("trackers, by name; what else is in it is the task's own", make=dict, alters=False)
    hydra: Plain = key("Hydra's own", make=dict, alters=False)


_NO_RESULT = tuple(item.name for item in fields(TaskConfig) if not Meaning(**told(item)).alters)


def identity(cfg: DictConfig) -> str:
    """Returns a hash of all that determines a task's result: the configuration but for the study and names.

    Keys that are not set stay out.
    """
    text = json.dumps(_part(cfg, lambda name: name not in _NO_RESULT, raw=False), sort_keys=True)
    return short_digest(text)


def settings(cfg: DictConfig) -> Plain:
    """Returns what a record says of a task's own keys; that a key was not set is said by `???`, as Hydra writes it."""
    return _part(cfg, lambda name: name not in (*_NO_RESULT, "seed"), raw=True)


def study(cfg: DictConfig) -> Plain:
    """Returns the study as plain data, whose metrics are called as tables call them."""
    found = {"claims": [], **_part(cfg, lambda name: name == "study", raw=True)["study"]}
    metrics = {field_name(str(name)): said for name, said in (found.get("metrics") or {}).items()}
    if found.get("metric") in (None, MISSING):
        found["metric"] = next(iter(metrics), "test_accuracy")
    claims = found["claims"]
    named = list(map(_renamed, claims)) if isinstance(claims, list) else claims
    return {**_renamed(found), "metrics": metrics, "claims": named}


def trackers(cfg: DictConfig) -> Plain:
    """Returns what of a task's `logger` are trackers of ablate's kind, by name; others, the task makes itself."""
    given = _part(cfg, lambda name: name == "logger", raw=True).get("logger")
    nodes = given.items() if isinstance(given, dict) else ()
    return {name: node for name, node in nodes if isinstance(node, dict) and is_tracker(node.get("_target_"))}


def _renamed(node: Any) -> Any:
    if not (isinstance(node, dict) and isinstance(node.get("metric"), str)):
        return node  # the report says what is wrong with it
    name, dot, statistic = node["metric"].partition(".")
    return {**node, "metric": field_name(name) + dot + statistic}


def _part(cfg: DictConfig, wanted: Callable[[object], bool], raw: bool) -> Plain:
    hydra_config: Any = HydraConfig.instance()
    known = hydra_config.cfg
    if known is not None:
        hydra_config.cfg = copied = copy.deepcopy(known)
        assert isinstance(copied, DictConfig)
        with flag_override(copied.hydra, ["struct", "readonly"], [False, False]):
            for name in _OF_ONE_START:
                OmegaConf.update(copied, f"hydra.{name}", "???")
    try:
        return _values(cfg, filter(wanted, cfg), raw)
    finally:
        hydra_config.cfg = known


def _values(node: DictConfig, names: Iterable[Any], raw: bool) -> Plain:
    values = {name.name if isinstance(name, Enum) else name: _value(node, name, raw) for name in names}
    return {name: value for name, value in values.items() if value is not _LEFT_OUT}


def _value(parent: DictConfig | ListConfig, name: Any, raw: bool) -> Any:
    """Returns a value of a configuration as JSON holds it."""
    try:
        value = parent[name]
    except (MissingMandatoryValue, InterpolationToMissingValueError):
        node: Any = OmegaConf.to_container(parent, resolve=False)
        return node[name] if raw else _LEFT_OUT
    if isinstance(value, DictConfig):
        return _values(value, value, raw)
    if isinstance(value, ListConfig):
        items = (_value(value, place, raw) for place in range(len(value)))
        return [item for item in items if item is not _LEFT_OUT]
    if isinstance(value, Enum):
        return value.name
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
