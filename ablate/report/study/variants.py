"""Variants: runs grouped by what they have in common, seed aside, and labelled by what tells them apart."""

import itertools
import json
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ablate.config.edits import Edit, read_edits
from ablate.config.identity import fingerprint
from ablate.config.plain import select
from ablate.files import PlainMapping
from ablate.report.study.overrides import split

Settings = Mapping[str, str]

_MODEL = "model."
_TASK = "settings."  # what a task's configuration says: like the model's, it is what makes the variant
_TARGET = "._target_"


@dataclass(frozen=True)
class Variant:
    """Runs that differ by their seed alone.

    Attributes:
        label: Its name in tables and claims: the model's, and in brackets what was set by hand and differs from others.
        model: The model's name.
        edits: The model's edits, by name.
        settings: What else the configuration says and not all runs of the study share, by key.
        configuration: All that could tell it from other variants, by key.
    """

    label: str
    model: str
    edits: Mapping[str, Edit]
    settings: Settings
    configuration: Settings = field(default_factory=dict)

    def describe(self) -> str:
        """Returns the edits in words, and the settings."""
        parts = [edit.describe(name) for name, edit in self.edits.items()]
        parts += [_describe_setting(key, value) for key, value in self.settings.items()]
        return "; ".join(parts) or "no edits"


def group(configs: Mapping[str, PlainMapping], overrides: Mapping[str, Sequence[str]]) -> dict[str, Variant]:
    """Groups runs into variants.

    A setting is part of the label where it differs between runs (of the same name, if it is the model's) and all runs
    of the variant were given it as an override. So `dropout` stays `dropout` when `dropout (p=0.3)` joins it.

    Args:
        configs: The configuration of each run, by run.
        overrides: What was typed for each run beside the options, as Hydra records it; may lack runs.

    Returns:
        The variant of each run, in the order of the runs.
    """
    groups = _groups(configs)
    differing = [key for key in _differing(groups) if not key.startswith(_MODEL)]
    keys_of = {}
    for model in {group.model for group in groups}:
        of_model = _differing([group for group in groups if group.model == model])
        own = [key for key in of_model if key.startswith((_MODEL, _TASK))]
        keys_of[model] = own + [key for key in differing if not key.startswith(_TASK)]
    by_hand = [_label(group.model, _by_hand(group, keys_of[group.model], overrides)) for group in groups]
    often = Counter(by_hand)
    variants: dict[str, Variant] = {}
    taken: set[str] = set()
    for group, label in zip(groups, by_hand, strict=True):
        if often[label] > 1:  # what was typed does not tell them apart, so all that differs is said
            label = _label(group.model, (text for _, text in _parts(keys_of[group.model], group.settings)))
        label = _untaken(label, taken)
        taken.add(label)
        shown = {key: group.settings[key] for key in differing if key in group.settings}
        variant = Variant(label, group.model, group.edits, shown, group.settings)
        variants.update(dict.fromkeys(group.runs, variant))
    return {run: variants[run] for run in configs}


@dataclass(frozen=True)
class _Group:
    """The runs of a variant that has no label yet."""

    model: str
    edits: Mapping[str, Edit]
    settings: Settings
    runs: list[str]


def _groups(configs: Mapping[str, PlainMapping]) -> list[_Group]:
    """Returns the runs that agree in all that tells variants apart, in an order that is not that of the runs."""
    runs: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for run, config in configs.items():
        runs[str(config["model"]["name"]), fingerprint(config, lambda meaning: meaning.tells_apart)].append(run)
    groups = []
    for (model, _), same in sorted(runs.items()):
        config = configs[same[0]]
        told = select(config, lambda meaning: meaning.tells_apart)
        settings = {key: value if isinstance(value, str) else json.dumps(value) for key, value in flatten(told)}
        groups.append(_Group(model, read_edits(config["model"]["edits"]), settings, same))
    return groups


def _untaken(label: str, taken: Collection[str]) -> str:
    numbered = itertools.chain([label], (f"{label} #{number}" for number in itertools.count(2)))
    return next(each for each in numbered if each not in taken)


def parse_label(label: str) -> tuple[str, dict[str, str]]:
    """Returns the model's name and the settings in brackets of a label."""
    match = re.fullmatch(r"(.*?) \((.+)\)", label)
    if match is None:
        return label, {}
    return match[1], dict(part.split("=", 1) for part in split(match[2]) if "=" in part)


def flatten(node: PlainMapping, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yields the leaves of a configuration by dotted key, and before those of an edit the edit itself."""
    for key, value in node.items():
        if isinstance(value, Mapping):
            if _is_edit(prefix + key):
                yield prefix + key, "made"
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _by_hand(group: _Group, keys: Sequence[str], overrides: Mapping[str, Sequence[str]]) -> list[str]:
    """Returns what a label says of the settings that all runs of a variant were given as overrides."""
    typed = dict(_typed(text) for text in overrides.get(group.runs[0], ()))
    for run in group.runs[1:]:
        typed = {key: typed[key] for key, _ in map(_typed, overrides.get(run, ())) if key in typed}
    texts = [f"{key}={value}" for key, value in typed.items() if _is_option(key, keys)]
    dotted = [key for key in typed if "." in key]
    texts += [text for key, text in _parts(keys, group.settings) if any(_is_below(key, other) for other in dotted)]
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


def _differing(groups: Sequence[_Group]) -> list[str]:
    """Returns the keys with several values where they are set, and the edits that not all have."""
    values: defaultdict[str, list[str]] = defaultdict(list)
    for group in groups:
        for key, value in group.settings.items():
            values[key].append(value)
    return [key for key, each in values.items() if len(set(each)) > 1 or (_is_edit(key) and len(each) < len(groups))]


def _describe_setting(key: str, value: str) -> str:
    if key.endswith(_TARGET):  # a class stands for its option
        return f"{_short(key.removesuffix(_TARGET))} = {_short(value)}"
    return f"{_short(key)} = {value}"
