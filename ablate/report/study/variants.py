"""Variants: runs grouped by what they have in common, seed aside, and labelled by what tells them apart."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ablate.config.edits import describe_edit
from ablate.report.study.overrides import split

Settings = Mapping[str, str]

# Parts of a run's config that tell no two variants apart: what is the same for all, or changes no result.
_NOT_DISTINGUISHING = (
    "seed",
    "study",
    "logger",
    "metrics",
    "rerun",
    "allow",
    "store",
    "train.max_retries",
    "hardware.device",
    "hardware.threads",
    "hardware.channels_last",
    "hardware.rewrite",
    "hardware.graph",
    "model.name",
    "data.root",
)
_MODEL = "model."
_TASK = "settings."  # what a task's configuration says: like the model's, it is what makes the variant
_TARGET = "._target_"


@dataclass(frozen=True)
class Variant:
    """Runs that differ by their seed alone.

    Attributes:
        label: Its name in tables and claims: the model's, and in brackets what was set by hand and differs from others.
        model: The model's name.
        edits: The model's edits as JSON, by name.
        settings: What else the configuration says and not all runs of the study share, by key.
        configuration: All that could tell it from other variants, by key.
    """

    label: str
    model: str
    edits: Mapping[str, str]
    settings: Settings
    configuration: Settings = field(default_factory=dict)

    def describe(self) -> str:
        """Returns the edits in words, and the settings."""
        parts = [describe_edit(name, json.loads(edit)) for name, edit in self.edits.items()]
        parts += [_describe_setting(key, value) for key, value in self.settings.items()]
        return "; ".join(parts) or "no edits"


def group(configs: Mapping[str, Mapping[str, Any]], overrides: Mapping[str, Sequence[str]]) -> dict[str, Variant]:
    """Groups runs into variants.

    A setting is part of the label where it differs between runs (of the same name, if it is the model's) and all runs
    of the variant were given it as an override. So `dropout` stays `dropout` when `dropout (p=0.3)` joins it.

    Args:
        configs: The configuration of each run, by run.
        overrides: What was typed for each run beside the options, as Hydra records it; may lack runs.

    Returns:
        The variant of each run, in the order of the runs.
    """
    known: dict[tuple[Any, ...], Settings] = {}  # by the parts of a configuration, which runs may share as objects
    flat = {}
    for run, config in configs.items():
        parts = tuple((key, id(part)) for key, part in config.items() if key not in _NOT_DISTINGUISHING)
        if parts not in known:
            known[parts] = dict(_distinguishing(config))
        flat[run] = known[parts]
    names = {run: str(config["model"]["name"]) for run, config in configs.items()}
    differing = [key for key in _differing(flat.values()) if not key.startswith(_MODEL)]
    common = [key for key in differing if not key.startswith(_TASK)]
    of_model: defaultdict[str, list[Settings]] = defaultdict(list)
    members: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for run, settings in flat.items():
        of_model[names[run]].append(settings)
        order = list(configs[run]["model"]["edits"])  # of insertions at one place, it counts
        members[names[run], json.dumps([settings, order], sort_keys=True)].append(run)
    keys_of = {
        name: [key for key in _differing(settings) if key.startswith((_MODEL, _TASK))] + common
        for name, settings in of_model.items()
    }

    labels = {key: _label(key[0], _by_hand(runs, flat, keys_of[key[0]], overrides)) for key, runs in members.items()}
    often = Counter(labels.values())
    taken: set[str] = set()
    variants: dict[str, Variant] = {}
    for (name, settings_key), runs in sorted(members.items()):
        settings = flat[runs[0]]
        label = labels[name, settings_key]
        if often[label] > 1:  # what was typed does not tell them apart, so all that differs is said
            label = _label(name, (text for _, text in _parts(keys_of[name], settings)))
        unnumbered, number = label, 1
        while label in taken:
            number += 1
            label = f"{unnumbered} #{number}"
        taken.add(label)
        edits = {
            str(edit): json.dumps(value, sort_keys=True) for edit, value in configs[runs[0]]["model"]["edits"].items()
        }
        shared = {key: settings[key] for key in differing if key in settings}
        variants.update(dict.fromkeys(runs, Variant(label, name, edits, shared, settings)))
    return {run: variants[run] for run in configs}


def parse_label(label: str) -> tuple[str, dict[str, str]]:
    """Returns the model's name and the settings in brackets of a label."""
    match = re.fullmatch(r"(.*?) \((.+)\)", label)
    if match is None:
        return label, {}
    return match[1], dict(part.split("=", 1) for part in split(match[2]) if "=" in part)


def flatten(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields the leaves of a configuration by dotted key, and before those of an edit the edit itself."""
    for key, value in node.items():
        if isinstance(value, Mapping):
            if _is_edit(prefix + key):
                yield prefix + key, "made"
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _by_hand(
    runs: Sequence[str], flat: Mapping[str, Settings], keys: Sequence[str], overrides: Mapping[str, Sequence[str]]
) -> list[str]:
    """Returns what a label says of the settings that all runs of a variant were given as overrides."""
    typed = dict(_typed(text) for text in overrides.get(runs[0], ()))
    for run in runs[1:]:
        typed = {key: typed[key] for key, _ in map(_typed, overrides.get(run, ())) if key in typed}
    texts = [f"{key}={value}" for key, value in typed.items() if _is_option(key, keys)]
    dotted = [key for key in typed if "." in key]
    texts += [text for key, text in _parts(keys, flat[runs[0]]) if any(_is_below(key, other) for other in dotted)]
    return texts


def _label(name: str, parts: Iterable[str]) -> str:
    text = ", ".join(parts)
    return f"{name} ({text})" if text else name


def _parts(keys: Iterable[str], settings: Settings) -> Iterator[tuple[str, str]]:
    """Yields what a label may say of settings, with the key."""
    for key in keys:
        if _is_edit(key):
            yield key, f"{'with' if key in settings else 'without'} {_short(key)}"
        elif key in settings:
            yield key, f"{_short(key)}={settings[key]}"


def _typed(override: str) -> tuple[str, str]:
    """Returns key and value of an override."""
    key, _, value = override.lstrip("+~").partition("=")
    return key, value


def _is_option(key: str, differing: Iterable[str]) -> bool:
    """Whether a key that was typed chose the option of a group in which runs differ."""
    return "." not in key and key != "model" and any(_is_below(other, key) for other in differing)


def _is_below(key: str, other: str) -> bool:
    return key == other or key.startswith(f"{other}.")


def _short(key: str) -> str:
    return key.rpartition(".")[2]


def _is_edit(key: str) -> bool:
    return key.startswith("model.edits.") and key.count(".") == 2


def _differing(all_settings: Iterable[Settings]) -> list[str]:
    """Returns the keys with several values where they are set, and the edits that not all have."""
    values: defaultdict[str, set[str]] = defaultdict(set)
    counts: Counter[str] = Counter()
    number = 0
    for settings in all_settings:
        number += 1
        counts.update(settings.keys())
        for key, value in settings.items():
            values[key].add(value)
    return [key for key, found in values.items() if len(found) > 1 or (_is_edit(key) and counts[key] < number)]


def _distinguishing(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in flatten(config):
        if not any(_is_below(key, part) for part in _NOT_DISTINGUISHING):
            yield key, value if isinstance(value, str) else json.dumps(value)


def _describe_setting(key: str, value: str) -> str:
    if key.endswith(_TARGET):  # a class stands for its option
        return f"{_short(key.removesuffix(_TARGET))} = {_short(value)}"
    return f"{_short(key)} = {value}"
