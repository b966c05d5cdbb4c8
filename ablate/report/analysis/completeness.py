"""Which runs a study should have, which it has, and what to type for the others."""

import itertools
import shlex
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from ablate.config.options import config_dir, load
from ablate.config.plain import flatten
from ablate.report.study.overrides import choices, key_and_value, seeds, split
from ablate.report.study.study import Cell, Study
from ablate.report.study.variants import parse_label

_SWEEP = ("python", "-m", "ablate", "-m")
_SET_ASIDE = {"model", "seed", "study", "rerun", "study.variant"}  # keys that a command for other cells sets itself


def completeness(study: Study) -> list[Cell]:
    """Returns the cells of a study: of its own sweep, or without one of all its variants and seeds, and all other runs.

    A run counts for a cell of the sweep whatever else was overridden.
    """
    cells = []
    for run, variant, seed in zip(study.runs["run"], study.runs["variant"], study.runs["seed"], strict=True):
        stale = study.records[run].stale if run in study.records else ()
        cells.append(Cell(variant, int(seed), "stale" if stale else "complete", "; ".join(stale)))
    cells += study.unfinished.values()
    there = {(cell.variant, cell.seed) for cell in cells}
    if study.definition.sweep and not study.definition.makes_variants:
        expected = _sweep(study)
    else:
        numbers, labels = (
            sorted({cell.seed for cell in cells}),
            dict.fromkeys([*study.variants, *study.definition.variants]),
        )
        expected = [(label, seed) for label in labels for seed in numbers]
    cells += [Cell(label, seed, "missing") for label, seed in expected if (label, seed) not in there]
    place = {label: number for number, label in enumerate(study.variants)}
    return sorted(cells, key=lambda cell: (place.get(cell.variant, len(place)), cell.variant, cell.seed))


def commands(study: Study, variants: Iterable[str], numbers: Iterable[int]) -> list[str]:
    """Returns the commands that run variants over seeds, as this study's runs were made.

    There is none for labels that no option and override makes. Without seeds, they are those of the study.
    """
    chosen = sorted(set(numbers)) or _seeds_of(study) or [0]
    return [shlex.join([*_SWEEP, *overrides, seeds(chosen)]) for overrides in _made_by(study, variants)]


def timing_command(study: Study, variants: Iterable[str]) -> str | None:
    """Returns the command that times variants against each other; None where it takes several commands to run them."""
    made = _made_by(study, variants)
    return shlex.join(["ablate", "timing", *made[0]]) if len(made) == 1 else None


def command_of_edits(study: Study, full: str, edits: Sequence[str]) -> str | None:
    """Returns the command that runs the variant `full` with no more than the edits named, over the study's seeds."""
    if not is_ours(study):
        return None
    variant = study.variants[full]
    if study.definition.makes_variants:
        return shlex.join([*_SWEEP, *_common(study), f"study.variant=[{','.join(edits)}]", seeds(_seeds_of(study))])
    wanted = {name: variant.edits[name] for name in edits}
    for name, option in study.models.items():
        if (option.get("edits") or {}) == {key: edit.plain() for key, edit in wanted.items()}:
            return commands(study, [name], ())[0]
    removed = [f"~model.edits.{name}" for name in variant.edits if name not in wanted]
    return shlex.join([*_SWEEP, *_common(study), f"model={variant.model}", *removed, seeds(_seeds_of(study))])


def default_command(study: Study) -> str | None:
    """Returns the command of the study's own sweep; None where another program makes its runs."""
    if not is_ours(study):
        return None
    return shlex.join([*_SWEEP, *(text for text in _common(study) if key_and_value(text)[0] == "study")])


def is_ours(study: Study) -> bool:
    """Whether `python -m ablate` makes the study's runs, and not a user's own program or another tool."""
    return bool(study.records) and all(record.task is None for record in study.records.values())


def _made_by(study: Study, variants: Iterable[str]) -> list[tuple[str, ...]]:
    """Returns the overrides of each command that it takes to make variants, seeds aside."""
    if not is_ours(study):
        return []
    common = _common(study)
    if names := study.definition.variants:
        chosen = [label for label in variants if label in names]
        return [(*common, f"study.variant={','.join(chosen)}")] if chosen else []
    if study.definition.design is not None:  # which makes the variants itself
        return [tuple(common)]
    models: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
    for label in variants:
        made = _typed(study, label, common) if label in study.labels else _named(study, label)
        if made is not None:
            model, overrides = made
            models[tuple(overrides)].append(model)
    return [(*common, f"model={','.join(dict.fromkeys(names))}", *overrides) for overrides, names in models.items()]


def _typed(study: Study, label: str, common: Sequence[str]) -> tuple[str, list[str]]:
    """Returns the model of a variant that has runs, and what all of them were given beside it and the common."""
    given = [study.records[run].overrides for run in study.of(label)["run"]]
    own = [text for text in dict.fromkeys(given[0]) if all(text in others for others in given)]
    own = [text for text in own if text not in common and key_and_value(text)[0] not in _SET_ASIDE]
    return study.variants[label].model, own


def _named(study: Study, label: str) -> tuple[str, list[str]] | None:
    """Returns the model and the overrides that the label of a variant without complete runs stands for."""
    model, settings = parse_label(label)
    overrides = [_override(study, model, key, value) for key, value in settings.items()]
    known = [text for text in overrides if text is not None]
    can_be_made = len(known) == len(overrides) and (model in study.models or label in study.variants)
    return (model, known) if can_be_made else None


def _seeds_of(study: Study) -> list[int]:
    return sorted(set(map(int, study.runs["seed"])))


def _common(study: Study) -> list[str]:
    """Returns the study's choice, if it is not the default, and what all runs were given beside model and seed."""
    defaults = [item for item in load(config_dir() / "config.yaml")["defaults"] if isinstance(item, dict)]
    default = next(item["study"] for item in defaults if "study" in item)
    option = study.definition.option or study.definition.name
    given = [dict.fromkeys(record.overrides) for record in study.records.values()]
    common = [text for text in (given[0] if given else ()) if all(text in others for others in given)]
    swept = set(study.definition.sweep)
    own = (_SET_ASIDE | swept) - ({"model"} if study.definition.makes_variants else set())
    common = [text for text in common if key_and_value(text)[0] not in own]
    # Without an option of its own, a study has the name that was typed.
    named = option == default or (study.definition.option is None and f"study.name={option}" in common)
    return [*([] if named else [f"study={option}"]), *common]


def _override(study: Study, model: str, short: str, value: str) -> str | None:
    """Returns the override that a setting in a label stands for; None if that cannot be told."""
    config = next(iter(study.records.values())).config
    if short in config:
        return f"{short}={value}"  # a group's option
    keys = [f"model.{key}" for key, _ in flatten(study.models.get(model, {}))] + [key for key, _ in flatten(config)]
    matching = [key for key in dict.fromkeys(keys) if key.rpartition(".")[2] == short]
    return f"{matching[0]}={value}" if len(matching) == 1 else None


def _sweep(study: Study) -> list[tuple[str, int]]:
    """Returns label and seed of each run of the study's default sweep."""
    sweep = study.definition.sweep
    expected = []
    for values in itertools.product(*(list(choices(text)) for text in sweep.values())):
        wanted = dict(zip(sweep, values, strict=True))
        seed = int(wanted.pop("seed", "0"))
        model = wanted.pop("model", study.definition.baseline)
        label = next(
            (
                label
                for label, variant in study.variants.items()
                if variant.model == model and all(_is_set(variant.configuration, *item) for item in wanted.items())
            ),
            None,
        )
        if label is None:
            settings = ", ".join(f"{key.rpartition('.')[2]}={value}" for key, value in wanted.items())
            label = f"{model} ({settings})" if settings else model
        expected.append((label, seed))
    return expected


def _is_set(settings: Mapping[str, str], key: str, value: str) -> bool:
    return key not in settings or _plain(settings[key]) == _plain(value)


def _plain(value: str) -> object:
    """Returns what a value says, however it is written: 0.10 as 0.1, [a, b] as [a,b]."""
    text = value.strip()
    if text.startswith("[") and text.endswith("]"):
        return [_plain(item) for item in split(text[1:-1])]
    try:
        return float(text)
    except ValueError:
        return text.strip("'\"")
