"""Configurations on their way in: Hydra composes them, and here each becomes a `Config`, the design applied."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from omegaconf import MISSING, DictConfig, OmegaConf

from ablate.config.apply_design import apply_design, plain_value
from ablate.config.identity import run_id
from ablate.config.options import config_dir
from ablate.config.plain import can_alter, read_config
from ablate.config.schema import OPTIONS, Config, ModelConfig, StudyConfig
from ablate.files import Plain, file_digest


@dataclass
class HydraModel(ModelConfig):
    """A model as Hydra knows it: the command line cannot add a typed edit (`+model.edits.x={...}`)."""

    edits: Plain = field(default_factory=dict)


@dataclass
class HydraStudy(StudyConfig):
    """A study as Hydra knows it, likewise."""

    metrics: Plain = field(default_factory=dict)
    tables: Plain = field(default_factory=dict)


@dataclass
class HydraConfig(Config):
    """The configuration as Hydra knows it."""

    model: HydraModel = MISSING
    study: HydraStudy = MISSING


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
    made = apply_design(root)
    return _with_digest({key: plain_value(made[key]) for key in map(str, made) if can_alter(key)})


def to_plain(composed: DictConfig) -> Plain:
    """Returns what Hydra composed, without its own node, as plain data: all keys set, the design applied."""
    own = [key for key in map(str, composed) if key != "hydra"]
    for missing in sorted(name for key in own for name in _missing(composed, key)):
        raise ValueError(f"{missing} is not set; set it with {missing}=…")
    made = apply_design(composed)
    return _with_digest({key: plain_value(made[key]) for key in own})


def _with_digest(config: Plain) -> Plain:
    """Returns plain data with the digest of the file of weights, by which a run's identity knows them."""
    model = config["model"]
    if model["weights"] is None:
        return config
    try:
        return {**config, "model": {**model, "weights_sha256": file_digest(Path(model["weights"]))}}
    except OSError as error:
        raise ValueError(f"model.weights={model['weights']}: cannot be read: {error.strerror}") from error


def _missing(composed: DictConfig, key: str) -> set[str]:
    if OmegaConf.is_missing(composed, key):
        return {key}
    section = composed[key]
    return OmegaConf.missing_keys(section) if OmegaConf.is_config(section) else set()


def to_config(composed: DictConfig) -> Config:
    """Returns what Hydra composed, with its own node or without, as a `Config`, every value checked."""
    return read_config(to_plain(composed))


def compose(overrides: Sequence[str], folder: Path | None = None) -> Config:
    """Returns the configuration that overrides mean, with a folder of config groups beside ablate's own."""
    with composer(folder) as composed_of:
        return to_config(composed_of(overrides))


@contextmanager
def composer(folder: Path | None = None) -> Iterator[Callable[[Sequence[str]], DictConfig]]:
    """Gives what composes overrides as Hydra does, Hydra's own node included."""
    register()
    GlobalHydra.instance().clear()
    search = [] if folder is None else [f"hydra.searchpath=[file://{folder.absolute()}]"]
    with hydra.initialize_config_dir(str(config_dir()), version_base="1.3"):
        yield lambda overrides: hydra.compose("config", [*search, *overrides], return_hydra_config=True)
