"""Which runs a study should have, which it has, and what to type for the others."""

import itertools
import json
import re
import shlex
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ablate.config.options import config_dir, load
from ablate.report.study.study import Study
from ablate.report.study.variants import flatten, parse_label


@dataclass(frozen=True)
class Cell:
    """A variant and seed: its run's status, `missing`, or `stale` (complete, under other conditions), and why."""

    variant: str
    seed: int
    status: str
    why: str = ""


def completeness(study: Study) -> list[Cell]:
    """Returns the cells of a study: of its own sweep, or without one of all its variants and seeds, and all other runs.

    A run counts for a cell of the sweep whatever else was overridden.
    """
    cells = []
    for run, variant, seed in zip(study.runs["run"], study.runs["variant"], study.runs["seed"], strict=True):
        stale = study.records[run].stale if run in study.records else ()
        cells.append(Cell(variant, int(seed), "stale" if stale else "complete", "; ".join(stale)))
    cells += [Cell(run.variant, run.seed, run.status, run.why) for run in study.unfinished]
    there = {(cell.variant, cell.seed) for cell in cells}
    if study.definition.sweep and study.definition.design is None:
        expected = _sweep(study)
    else:
        seeds = sorted({cell.seed for cell in cells})
        expected = [(label, seed) for label in study.variants for seed in seeds]
    cells += [Cell(label, seed, "missing") for label, seed in expected if (label, seed) not in there]
    place = {label: number for number, label in enumerate(study.variants)}
    return sorted(cells, key=lambda cell: (place.get(cell.variant, len(place)), cell.variant, cell.seed))


def commands(study: Study, variants: Iterable[str], seeds: Iterable[int]) -> list[str]:
    """Returns the commands that run variants over seeds, as this study's runs were made.

    Args:
        study: The study.
        variants: Labels; of those that no option and override makes, there is no command.
        seeds: The seeds; of none, those of the study.
    """
    chosen = sorted(set(seeds)) or sorted(set(map(int, study.runs["seed"]))) or [0]
    if any(record.task is not None for record in study.records.values()):
        return []  # how a user's own program is called is not known
    if study.definition.design is not None:  # which makes the variants itself
        return [_command([*_common(study), _seeds(chosen)])]
    by_overrides: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
    for label in variants:
        model, settings = parse_label(label)
        overrides = [_override(study, model, key, value) for key, value in settings.items()]
        if None not in overrides and (model in study.models or label in study.variants):
            by_overrides[tuple(text for text in overrides if text is not None)].append(model)
    return [
        _command([*_common(study), f"model={','.join(dict.fromkeys(models))}", *overrides, _seeds(chosen)])
        for overrides, models in by_overrides.items()
    ]


def timing_command(study: Study, variants: Iterable[str]) -> str | None:
    """Returns the command that times variants against each other; None where it takes several commands to run them."""
    found = commands(study, variants, (0,))
    if len(found) != 1:
        return None
    return found[0].replace("python -m ablate -m", "ablate timing").removesuffix(" seed=0")


def command_of_edits(study: Study, full: str, edits: Sequence[str]) -> str:
    """Returns the command that runs the variant with some of the edits of another, over the study's seeds.

    Args:
        study: The study.
        full: The label of the variant with all of them.
        edits: The names of those that stay.
    """
    variant = study.variants[full]
    wanted = {name: variant.edits[name] for name in edits}
    for name, option in study.models.items():
        made = {key: json.dumps(edit, sort_keys=True) for key, edit in (option.get("edits") or {}).items()}
        if made == wanted:
            return commands(study, [name], ())[0]
    removed = [f"~model.edits.{name}" for name in variant.edits if name not in wanted]
    seeds = _seeds(sorted(set(map(int, study.runs["seed"]))))
    return _command([*_common(study), f"model={variant.model}", *removed, seeds])


def default_command(study: Study) -> str:
    """Returns the command of the study's own sweep."""
    return _command([text for text in _common(study) if text.startswith("study=")])


def _command(overrides: Sequence[str]) -> str:
    return " ".join(["python -m ablate -m", *map(shlex.quote, overrides)])


def _seeds(seeds: Sequence[int]) -> str:
    consecutive = len(seeds) > 3 and list(seeds) == list(range(seeds[0], seeds[-1] + 1))
    return f"seed=range({seeds[0]},{seeds[-1] + 1})" if consecutive else f"seed={','.join(map(str, seeds))}"


def _common(study: Study) -> list[str]:
    """Returns the study's choice, if it is not the default, and what all runs were given beside model and seed."""
    defaults = [item for item in load(config_dir() / "config.yaml")["defaults"] if isinstance(item, dict)]
    default = next(item["study"] for item in defaults if "study" in item)
    option = study.definition.option or study.definition.name
    given = [dict.fromkeys(record.overrides) for record in study.records.values()]
    common = [text for text in (given[0] if given else ()) if all(text in others for others in given)]
    own = {"model", "seed", "study", "rerun", "model.components", *study.definition.sweep}
    if study.definition.design is not None:
        own.remove("model")
    common = [text for text in common if text.lstrip("+~").partition("=")[0] not in own]
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
    for values in itertools.product(*(list(_choices(text)) for text in sweep.values())):
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


def _plain(value: str) -> Any:
    try:
        return float(value)
    except ValueError:
        return value.strip("'\"")


def _choices(text: str) -> Iterator[str]:
    """Yields the values of a sweep: a comma-separated list or range(…)."""
    if match := re.fullmatch(r"\s*range\(([-\d,\s]+)\)\s*", text):
        yield from map(str, range(*(int(part) for part in match[1].split(","))))
    else:
        yield from (part.strip() for part in text.split(","))
