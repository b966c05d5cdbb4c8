"""Variants: runs grouped by what they have in common, seed aside, and labelled by what tells them apart."""

import itertools
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ablate.config.edits import Edit, read_edits
from ablate.config.identity import fingerprint
from ablate.config.plain import flatten, select
from ablate.files import PlainMapping
from ablate.report.study.overrides import key_and_value, split
from ablate.sources.inference import DATA_SET

Settings = Mapping[str, str]

_MODEL = "model."
_TASK = "settings."  # what a task's configuration says: like the model's, it is what makes the variant
_TARGET = "._target_"
_EDIT = re.compile(r"model\.edits\.[^.]+")


@dataclass(frozen=True)
class Variant:
    """Runs that differ by their seed alone."""

    label: str  # in tables and claims: the model's name, and in brackets what was set by hand and differs from others
    model: str
    edits: Mapping[str, Edit]
    settings: Settings  # what else the configuration says and not all runs of the study share, by key
    configuration: Settings = field(default_factory=dict)  # all that could tell it from other variants, by key
    parts: Mapping[str, Edit | str] = field(
        default_factory=dict
    )  # what it has: edits, and components in words, by name
    beside: Settings = field(default_factory=dict)  # the settings that no component makes

    @property
    def data(self) -> str:
        """The data set; empty where nothing says it."""
        return self.configuration.get(data_key([self]), "")

    def describe(self) -> str:
        """Returns the edits in words, and the settings."""
        parts = [part.describe(name) if isinstance(part, Edit) else part for name, part in self.parts.items()]
        said = {text for part in parts for text in part.split(", ")}
        settings = [_describe_setting(key, value) for key, value in self.settings.items()]
        return "; ".join([*parts, *(text for text in settings if text not in said)]) or "no edits"


def data_key(variants: Iterable[Variant]) -> str:
    """Returns the key that says the data set of variants: ablate's own or, of others' runs, a setting called so."""
    keys = dict.fromkeys(key for variant in variants for key in variant.configuration)
    own = (key for key in keys if key.startswith(_TASK) and DATA_SET.fullmatch(key))
    return "data.name" if "data.name" in keys else next(own, "data.name")


def group(
    configs: Mapping[str, PlainMapping],
    overrides: Mapping[str, Sequence[str]],
    components: Mapping[str, object] | None = None,
) -> dict[str, Variant]:
    """Returns the variant of each run, in the order of the runs.

    A setting is part of the label where it differs between runs (of the same name, if it is the model's) and all runs
    of the variant were given it as an override. So `dropout` stays `dropout` when `dropout (p=0.3)` joins it.

    Args:
        configs: The configuration of each run, by run.
        overrides: What was typed for each run beside the options, as Hydra records it; may lack runs.
        components: Of the study, as a run records them.
    """
    groups = _groups(configs)
    unlabelled = [variant for variant, _ in groups]
    differing = [key for key in _differing(unlabelled) if not key.startswith(_MODEL)]
    keys_of = {}
    for model in {variant.model for variant in unlabelled}:
        of_model = _differing([variant for variant in unlabelled if variant.model == model])
        own = [key for key in of_model if key.startswith((_MODEL, _TASK))]
        keys_of[model] = own + [key for key in differing if not key.startswith(_TASK)]
    by_hand = [_label(one.model, _by_hand(one, runs, keys_of[one.model], overrides)) for one, runs in groups]
    often = Counter(by_hand)
    found: dict[str, Variant] = {}
    taken: set[str] = set()
    for (variant, runs), label in zip(groups, by_hand, strict=True):
        if often[label] > 1:  # what was typed does not tell them apart, so all that differs is said
            label = _label(variant.model, (text for _, text in _parts(keys_of[variant.model], variant.configuration)))
        numbered = itertools.chain([label], (f"{label} #{number}" for number in itertools.count(2)))
        label = next(each for each in numbered if each not in taken)
        taken.add(label)
        shown = {key: variant.configuration[key] for key in differing if key in variant.configuration}
        made = replace(variant, label=label, settings=shown)
        found.update(dict.fromkeys(runs, _with_parts(made, components or {})))
    return {run: found[run] for run in configs}


def _with_parts(variant: Variant, components: Mapping[str, object]) -> Variant:
    """Returns a variant with its parts: a component that sets keys is in it where all of them are as it sets them."""
    parts: dict[str, Edit | str] = dict(variant.edits)
    beside = dict(variant.settings)
    for name, sides in components.items():
        if not isinstance(sides, Mapping):
            continue  # an edit
        for side, values in sides.items():
            texts = {key: _text(value) for key, value in values.items()}
            if all(_number(_setting(variant, key)) == _number(value) for key, value in texts.items()):
                if side == "on":
                    parts[name] = ", ".join(_describe_setting(*item) for item in texts.items())
                beside = {key: value for key, value in beside.items() if key.removeprefix(_TASK) not in values}
                break
    return replace(variant, parts=parts, beside=beside)


def _setting(variant: Variant, key: str) -> str:
    """Returns what a variant's configuration says of a key; a task's own stands below `settings`."""
    return variant.configuration.get(key, variant.configuration.get(f"{_TASK}{key}", "null"))


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _groups(configs: Mapping[str, PlainMapping]) -> list[tuple[Variant, list[str]]]:
    """Returns variants without labels, each with its runs, in an order that is not that of the runs."""
    runs: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for run, config in configs.items():
        runs[str(config["model"]["name"]), fingerprint(config, lambda meaning: meaning.tells_apart)].append(run)
    groups = []
    for (model, _), same in sorted(runs.items()):
        config = configs[same[0]]
        settings: dict[str, str] = {}
        for key, value in flatten(select(config, lambda meaning: meaning.tells_apart)):
            if edit := _EDIT.match(key):
                settings.setdefault(edit[0], "made")
            settings[key] = _text(value)
        groups.append((Variant("", model, read_edits(config["model"]["edits"]), {}, settings), same))
    return groups


def parse_label(label: str) -> tuple[str, dict[str, str]]:
    """Returns the model's name and the settings in brackets of a label."""
    match = re.fullmatch(r"(.*?) \((.+)\)", label)
    if match is None:
        return label, {}
    return match[1], dict(part.split("=", 1) for part in split(match[2]) if "=" in part)


def relabelled(label: str, without: Iterable[str]) -> str:
    """Returns a label that does not say the values of some keys."""
    match, short = re.fullmatch(r"(.*?) \((.+)\)", label), set(map(_short, without))
    if match is None:
        return label
    return _label(match[1], (part for part in split(match[2]) if part.partition("=")[0] not in short))


def _by_hand(
    variant: Variant, runs: Sequence[str], keys: Sequence[str], overrides: Mapping[str, Sequence[str]]
) -> list[str]:
    """Returns what a label says of the settings that all runs of a variant were given as overrides."""
    typed = dict(map(key_and_value, overrides.get(runs[0], ())))
    for run in runs[1:]:
        given = dict(map(key_and_value, overrides.get(run, ())))
        typed = {key: typed[key] for key in given if key in typed}
    # A key without a dot chose the option of a group, which says something where runs differ in that group.
    options = [key for key in typed if "." not in key and key != "model"]
    texts = [f"{key}={typed[key]}" for key in options if any(_is_below(other, key) for other in keys)]
    dotted = [key for key in typed if "." in key]
    parts = _parts(keys, variant.configuration)
    return texts + [text for key, text in parts if any(_is_below(key, other) for other in dotted)]


def _label(name: str, parts: Iterable[str]) -> str:
    text = ", ".join(parts)
    return f"{name} ({text})" if text else name


def _parts(keys: Iterable[str], settings: Settings) -> Iterator[tuple[str, str]]:
    """Yields what a label may say of settings, with the key."""
    for key in keys:
        if _EDIT.fullmatch(key):
            yield key, f"{'with' if key in settings else 'without'} {_short(key)}"
        elif key in settings:
            yield key, f"{_short(key)}={settings[key]}"


def _is_below(key: str, other: str) -> bool:
    return key == other or key.startswith(f"{other}.")


def _short(key: str) -> str:
    return key.rpartition(".")[2]


def _differing(variants: Sequence[Variant]) -> list[str]:
    """Returns the keys with several values where they are set, and the edits that not all have."""
    values: defaultdict[str, list[str]] = defaultdict(list)
    for variant in variants:
        for key, value in variant.configuration.items():
            values[key].append(value)
    return [
        key
        for key, each in values.items()
        if len(set(each)) > 1 or (_EDIT.fullmatch(key) and len(each) < len(variants))
    ]


def _describe_setting(key: str, value: str) -> str:
    if key.endswith(_TARGET):  # a class stands for its option
        return f"{_short(key.removesuffix(_TARGET))} = {_short(value)}"
    return f"{_short(key)} = {value}"
