"""Configurations on their way in: Hydra composes them, and here each becomes a `Config`, the design applied."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import MISSING, DictConfig, OmegaConf

from ablate.config.design import apply_design
from ablate.config.identity import run_id
from ablate.config.options import config_dir
from ablate.config.plain import can_alter, read_config
from ablate.config.schema import OPTIONS, Config, ModelConfig
from ablate.files import Plain


@dataclass
class HydraModel(ModelConfig):
    """A model as Hydra knows it: the command line cannot add a typed edit (`+model.edits.x={...}`)."""

    edits: Plain = field(default_factory=dict)


@dataclass
class HydraConfig(Config):
    """The configuration as Hydra knows it."""

    model: HydraModel = MISSING


def register() -> None:
    """Makes the schema and the resolvers `run_id` and `variant` known to Hydra; to be called before composing."""
    store = ConfigStore.instance()
    store.store(name="schema", node=HydraConfig)
    # Stored outside the groups so that the options a user can choose from are the files in conf/ alone.
    for name, node in OPTIONS.items():
        store.store(name=name, node=node)
    OmegaConf.register_new_resolver("run_id", lambda *, _root_: run_id(_named(_root_)), replace=True)
    OmegaConf.register_new_resolver("variant", lambda *, _root_: str(_named(_root_)["model"]["name"]), replace=True)


def _named(root: DictConfig) -> Plain:
    """Returns what a run's folder is named by, while Hydra is composing."""
    return _applied({key: root[key] for key in map(str, root) if key == "study" or can_alter(key)})


def _applied(parts: Plain) -> Plain:
    """Returns parts of a composed configuration as plain data, the study's design applied."""
    return apply_design(
        {
            key: OmegaConf.to_container(part, resolve=True) if OmegaConf.is_config(part) else part
            for key, part in parts.items()
        }
    )


def to_plain(composed: DictConfig) -> Plain:
    """Returns a composed configuration as plain data, without Hydra's node and with the study's design applied.

    Raises:
        ValueError: A key is not set, or the design cannot be made.
    """
    own = [key for key in map(str, composed) if key != "hydra"]
    for missing in sorted(name for key in own for name in _missing(composed, key)):
        raise ValueError(f"{missing} is not set; set it with {missing}=…")
    return _applied({key: composed[key] for key in own})


def _missing(composed: DictConfig, key: str) -> set[str]:
    if OmegaConf.is_missing(composed, key):
        return {key}
    section = composed[key]
    return OmegaConf.missing_keys(section) if OmegaConf.is_config(section) else set()


def to_config(composed: DictConfig) -> Config:
    """Returns what Hydra composed as a `Config`, the study's design applied and every value checked.

    Args:
        composed: With or without Hydra's node.

    Raises:
        ValueError: Something in it is impossible; the message names the key and the way out.
    """
    return read_config(to_plain(composed))


def compose(overrides: Sequence[str], folder: Path | None = None) -> Config:
    """Returns the configuration that overrides mean.

    Args:
        overrides: As of a run.
        folder: A folder of config groups beside ablate's own.

    Raises:
        ValueError: The configuration is refused.
    """
    register()
    with hydra.initialize_config_dir(str(config_dir()), version_base="1.3"):
        return to_config(hydra.compose("config", [*search_path(folder), *overrides]))


def search_path(folder: Path | None) -> list[str]:
    """Returns the override that adds a folder of config groups to ablate's own."""
    return [] if folder is None else [f"hydra.searchpath=[file://{folder.absolute()}]"]


def keys(arguments: Sequence[str]) -> list[str]:
    """Returns the keys of the configuration with the groups that a command line chooses, dotted and whole."""
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(config_dir()), version_base="1.3"):
        chosen = [re.sub(",.*", "", text) for text in arguments if re.fullmatch(r"[a-z/]+=[\w,]+", text)]
        default = hydra.compose("config")
        groups = [text for text in chosen if text.partition("=")[0] in default]
        try:
            composed = hydra.compose("config", groups)
        except HydraException:
            composed = default
    return list(_flatten(composed))


def _flatten(node: object, prefix: str = "") -> Iterator[str]:
    if isinstance(node, DictConfig):
        for key in map(str, node):
            yield f"{prefix}{key}"
            if not OmegaConf.is_missing(node, key):
                yield from _flatten(node[key], f"{prefix}{key}.")
