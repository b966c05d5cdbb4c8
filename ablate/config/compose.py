"""Configurations composed as Hydra composes a command's."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from ablate.config.options import config_dir


def keys(arguments: Sequence[str]) -> list[str]:
    """Returns the keys of the configuration with the groups that a command line chooses, dotted and whole."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        chosen = [re.sub(",.*", "", text) for text in arguments if re.fullmatch(r"[a-z/]+=[\w,]+", text)]
        default = compose("config")
        groups = [text for text in chosen if text.partition("=")[0] in default]
        try:
            cfg = compose("config", groups)
        except HydraException:
            cfg = default
    return list(_flatten(cfg))


def _flatten(node: Any, prefix: str = "") -> Iterator[str]:
    if isinstance(node, DictConfig):
        for key in map(str, node):
            yield f"{prefix}{key}"
            if not OmegaConf.is_missing(node, key):
                yield from _flatten(node[key], f"{prefix}{key}.")
