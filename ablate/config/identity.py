"""The identity of a run: all that determines its result."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from ablate.config.keys import Plain
from ablate.config.plain import plain, select
from ablate.config.schema import Config


def run_id(config: Config | Mapping[str, Any]) -> str:
    """Returns the run's identity as eight hexadecimal digits, the last part of its folder's name."""
    text = json.dumps(identity(config), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def identity(config: Config | Mapping[str, Any]) -> Plain:
    """Returns all that determines the run's result, and nothing else: the keys that are declared as such.

    Unset keys stay out too, so that a new option with an unset default leaves the identity of earlier runs as it was.

    Args:
        config: A configuration, or one as plain data.
    """
    chosen = select(plain(config) if isinstance(config, Config) else config, lambda meaning: meaning.alters)
    # The order of edits counts: two insertions at one place stand in the order they are made.
    edits = [[name, edit] for name, edit in chosen["model"]["edits"].items()]
    precision = chosen.pop("hardware")["precision"]
    canonical = _canonical({**chosen, "model": {**chosen["model"], "edits": edits}, "precision": precision})
    assert isinstance(canonical, dict)
    return canonical


def _canonical(value: object) -> object:
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)  # untyped layer arguments: p=1 and p=1.0 are one run
    return value
