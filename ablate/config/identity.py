"""The identity of a run: all that determines its result."""

import hashlib
import json
from typing import Any

from omegaconf import DictConfig, OmegaConf


def run_id(cfg: DictConfig) -> str:
    """Returns the run's identity as eight hexadecimal digits, the last part of its folder's name."""
    text = json.dumps(identity(cfg), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def identity(cfg: DictConfig) -> dict[str, Any]:
    """Returns all that determines the run's result, and nothing else.

    Names, paths, loggers, the study, the device and its threads stay out. Unset keys stay out too, so that a new option
    with an unset default leaves the identity of earlier runs as it was.

    Args:
        cfg: A composed config; other top-level nodes than the run's are ignored.
    """
    plain = {
        key: OmegaConf.to_container(cfg[key], resolve=True)
        for key in ("model", "optimizer", "scheduler", "data", "train")
    }
    model, data, train = plain["model"], plain["data"], plain["train"]
    assert isinstance(model, dict) and isinstance(data, dict) and isinstance(train, dict)
    del model["name"]
    # The order of edits counts: two insertions at one place stand in the order they are made.
    model["edits"] = [[name, edit] for name, edit in model["edits"].items()]
    for name in ("root", "stream", "workers"):
        data.pop(name, None)
    del train["max_retries"]
    canonical = _canonical({**plain, "seed": cfg.seed, "precision": cfg.hardware.precision})
    assert isinstance(canonical, dict)
    return canonical


def _canonical(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)  # untyped layer arguments: p=1 and p=1.0 are one run
    return value
