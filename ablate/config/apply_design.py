"""A composed configuration as the variant of the study's design that it asks for, ablate's own or a task's."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, flag_override
from omegaconf.errors import OmegaConfBaseException

from ablate.config.design import Component, choose, key_of, read_components
from ablate.config.options import options
from ablate.config.plain import flatten
from ablate.config.schema import OPTIONS
from ablate.files import Plain, PlainMapping
from ablate.messages import nearest


def apply_design(root: DictConfig) -> DictConfig:
    """Returns a configuration as the variant that `study.variant` asks for: with its settings, name and baseline.

    It is not changed itself. What is a value of other values (`${train.epochs}`) follows what is set.

    Raises:
        ValueError: There is no such variant, or it sets what is not there or changes nothing.
    """
    study = plain_value(root.get("study") or {})
    assert isinstance(study, dict)
    if all(study.get(key) in (None, {}) for key in ("design", "variant", "variants")):
        return root
    edits, name = edits_and_name(root)
    choice = choose(study, edits, name)
    made = OmegaConf.masked_copy(root, [key for key in map(str, root) if key != "hydra"])
    if "variant" not in root:  # ablate's own is checked below: what is set can be of another class
        made = DictConfig(OmegaConf.to_container(made, resolve=False))
    with flag_override(made, ["struct", "readonly"], [False, False]):
        if choice.baseline is not None:
            made.study.baseline = choice.baseline
        if choice.name is None:
            return made
        if not study.get("variants"):
            components = read_components(study, edits, name).items()
            made.study.components = {each: _recorded(root, each, component) for each, component in components}
        for edit in choice.left_out:
            del made.model.edits[edit]
        for where, bundle in choice.bundles.items():
            _set(made, root, where, bundle)
        if "variant" in made:
            made.variant = choice.name
        else:
            made.model.name = choice.name
    return made


def edits_and_name(root: DictConfig) -> tuple[list[str], str]:
    """Returns the names of the model's edits, of which a task has none, and the variant's name before a design."""
    if "variant" in root:
        return [], str(root.variant)
    return list(map(str, root.model.edits)), str(root.model.name)


def plain_value(value: object) -> object:
    """Returns a value as plain data, what other values it is made of filled in."""
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def _set(made: DictConfig, root: DictConfig, where: str, bundle: PlainMapping) -> None:
    before, after = (list[object]() for _ in range(2))
    for key, value in bundle.items():
        name = key_of(key)
        before.append(_get(root, name))
        parent, _, last = name.rpartition(".")
        section = OmegaConf.select(made, parent) if parent else made
        known = list(map(str, section)) if isinstance(section, DictConfig) else []
        if last not in known and not key.startswith("+"):
            raise ValueError(
                f"{where}.{key}: there is no such key; {nearest(last, known)}; write +{name} for a new one"
            )
        try:
            if key.startswith("~"):
                del (OmegaConf.select(made, parent) if parent else made)[last]
            elif isinstance(before[-1], Mapping) and isinstance(value, str):
                OmegaConf.update(made, name, _option(root, where, name, value), merge=False)
            else:
                OmegaConf.update(made, name, value, merge=True)
        except OmegaConfBaseException as error:
            raise ValueError(f"{where}.{key}={value}: {str(error).splitlines()[0]}") from error
        after.append(_get(made, name))
    if bundle and before == after:
        raise ValueError(f"{where}: changes nothing: {', '.join(bundle)} is so already; change it or leave it out")


def _get(root: DictConfig, key: str) -> Any:
    """Returns a value as plain data; None where there is none."""
    return plain_value(OmegaConf.select(root, key))


def _option(root: DictConfig, where: str, group: str, name: str) -> DictConfig:
    """Returns an option of a config group, as `group=name` chooses it."""
    schemas = {each: OmegaConf.to_container(OmegaConf.structured(kind)) for each, kind in OPTIONS.items()}
    known = options(group, _folders(root), schemas)
    if name not in known:
        raise ValueError(f"{where}.{group}={name}: there is no such option; {nearest(name, list(known))}")
    return OmegaConf.create(known[name])


def _folders(root: DictConfig) -> list[Path]:
    """Returns the folders of config groups that the configuration was composed of."""
    known = root.hydra if "hydra" in root else HydraConfig.get()  # which Hydra takes out of what a job gets
    return [Path(source.path) for source in known.runtime.config_sources if source.schema == "file"]


def _recorded(root: DictConfig, name: str, component: Component) -> object:
    """Returns a component as a run records it: of a bundle all that differs between on and off, nothing to look up."""
    if component.is_edit:
        return component.first
    keys = {key: key_of(key) for key in {**component.on, **component.off}}
    sides: Plain = {"on": {}, "off": {}}
    for side, values in sides.items():
        given = getattr(component, side)
        for key, plain_key in keys.items():
            value = None if key.startswith("~") and key in given else given.get(key, _get(root, plain_key))
            if isinstance(value, str) and isinstance(_get(root, plain_key), Mapping):
                value = plain_value(_option(root, f"study.components.{name}.{side}", plain_key, value))
            values |= dict(flatten({plain_key: value}))
    return sides
