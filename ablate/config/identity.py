"""The identity of a run: all that determines its result."""

import json
from collections.abc import Callable

from ablate.config.keys import Meaning
from ablate.config.plain import plain, select
from ablate.config.schema import Config
from ablate.files import Plain, PlainMapping, short_digest


def run_id(config: Config | PlainMapping) -> str:
    """Returns the run's identity as eight hexadecimal digits, the last part of its folder's name."""
    text = json.dumps(identity(config), sort_keys=True, separators=(",", ":"))
    return short_digest(text)


def identity(config: Config | PlainMapping) -> Plain:
    """Returns all that determines the run's result, and nothing else: the keys that are declared as such.

    Unset keys stay out too, so that a new option with an unset default leaves the identity of earlier runs as it was.
    """
    chosen = _part(plain(config) if isinstance(config, Config) else config, lambda meaning: meaning.alters)
    precision = chosen.pop("hardware")["precision"]
    return {**chosen, "precision": precision}


def fingerprint(config: PlainMapping, wanted: Callable[[Meaning], bool]) -> str:
    """Returns a text that configurations share exactly where they agree in all keys of a meaning."""
    return json.dumps(_part(config, wanted), sort_keys=True)


def variant_id(config: Config | PlainMapping) -> str:
    """Returns what the runs of a variant share, and no others, as eight hexadecimal digits."""
    text = fingerprint(plain(config) if isinstance(config, Config) else config, lambda meaning: meaning.tells_apart)
    return short_digest(text)


def but_seed(config: Config) -> str:
    """Returns a text that configurations share exactly where they differ by their seed alone."""
    return json.dumps({**plain(config), "seed": None})


def _part(config: PlainMapping, wanted: Callable[[Meaning], bool]) -> Plain:
    chosen = select(config, wanted)
    model = chosen.get("model")
    if isinstance(model, dict) and "edits" in model:
        # The order of edits counts: two insertions at one place stand in the order they are made.
        chosen["model"] = {**model, "edits": [[name, edit] for name, edit in model["edits"].items()]}
    if chosen.get("augment"):  # and so does that of transforms
        chosen["augment"] = [[name, node] for name, node in chosen["augment"].items()]
    canonical = {key: _canonical(value) for key, value in chosen.items() if value is not None}
    return {key: value for key, value in canonical.items() if value != {} or key in _KEPT_EMPTY}


_KEPT_EMPTY = ("scheduler",)  # as in the identities of the first runs: a constant learning rate


def _canonical(value: object) -> object:
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)  # untyped layer arguments: p=1 and p=1.0 are one run
    return value
