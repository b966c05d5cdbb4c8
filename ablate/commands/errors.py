"""Turns what Hydra and OmegaConf raise into a few lines that name the mistake and the way out."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ablate.config.options import config_dir
from ablate.messages import nearest
from ablate.records.run_directory import RunFailed

# Plugins of Hydra that bring an option, and what installs them.
_PLUGINS = {"hydra/sweeper/optuna": "'ablate[optuna]'", "hydra/launcher/joblib": "hydra-joblib-launcher"}


def explain(error: BaseException, arguments: Sequence[str]) -> str | None:
    """Returns the message for an error that the user can mend, None for one of ours.

    Args:
        error: What a command ended with.
        arguments: The command line.
    """
    if isinstance(error, MissingConfigException) and error.options and error.missing_cfg_file:
        group, _, option = error.missing_cfg_file.rpartition("/")
        if (package := _PLUGINS.get(error.missing_cfg_file)) is not None:
            return f"{group}={option}: its plugin is not installed; pip install {package}"
        return f"{group}={option}: there is no such option; {nearest(option, error.options)}"
    if isinstance(error, HydraException):
        text = str(error)
        if match := re.match(r"Could not override '([^']+)'", text):
            key = match[1]
            hint = nearest(key, _keys(arguments), most=1)
            return f"{key}: there is no such key; {hint}\nWhere new keys can be added, +{key}=… adds one."
        if match := re.match(r"Error merging override (.*)", text):
            reason = str(error.__cause__).splitlines()[0] if error.__cause__ else text
            return f"{match[1]}: {reason}"
        return text
    if isinstance(error, OmegaConfBaseException):
        lines = str(error).splitlines()
        return f"{error.full_key}: {lines[0]}" if error.full_key else lines[0]
    if isinstance(error, OSError) and error.strerror is not None:
        return f"{error.strerror}: {error.filename or 'HYDRA_FULL_ERROR=1 shows where'}"
    if isinstance(error, ValueError | RunFailed):
        return str(error)
    return None


def _keys(arguments: Sequence[str]) -> list[str]:
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
