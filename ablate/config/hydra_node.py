"""Hydra's own node of a configuration, checked before Hydra makes what it names.

A folder of options may come from somebody else. Its files are data for ablate; Hydra's node is not: it names classes
that Hydra makes, commands, folders, and files to log to. What they say there counts only as far as it can do no harm;
the rest is for ablate's own files and for the command line.
"""

import math
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_automatic_config_search_path, get_args_parser
from hydra.conf import HydraConf
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.utils import setup_globals
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.resolvers import oc

from ablate.config.options import config_dir

_PREFLIGHT = "ablate.sweeps.preflight.Preflight"
_TARGETS = re.compile(
    rf"{re.escape(_PREFLIGHT)}|(hydra\._internal\.core_plugins|hydra\.experimental\.callbacks?|hydra_plugins"
    r"|optuna\.(samplers|pruners))\.[\w.]+"
)
# What any file may say: the sweep itself, and of a cluster whose queue it is and how much of it to take.
_ANYBODYS = re.compile(
    r"sweeper\.(params|direction|study_name|n_\w+|max_\w+|sampler)\b.*|mode|verbose|help\..*|job\.(chdir|config_name|override_dirname|config\..*)"
    r"|launcher\.(name|comment|partition|account|qos|constraint|gres)|(runtime|overrides|searchpath)\b.*"
)
_OF_A_JOB = ("hydra.job_logging", "hydra.job.env_set", "hydra.job.env_copy", "hydra.job.name", "hydra.output_subdir",
             "hydra.run", "hydra.sweep", "allow")  # fmt: skip


def check_hydra(arguments: Sequence[str]) -> None:
    """Refuses a command whose configuration has Hydra run what neither ablate nor the user asks for."""
    args = get_args_parser().parse_args(list(arguments))
    if args.experimental_rerun is not None:
        raise ValueError("--experimental-rerun: would load a pickle; ablate verify RUN_DIR runs a run again")
    if args.shell_completion:
        return
    _resolve_typed_variables_only(" ".join(args.overrides))
    folders = [path for path in (args.config_dir, args.config_path) if path is not None]
    whole = _composed(args.config_path, args.config_dir, args.config_name, args.overrides)
    preflight = OmegaConf.select(whole, "hydra.callbacks.preflight")
    if preflight is None or preflight.get("_target_") != _PREFLIGHT:
        raise ValueError("hydra.callbacks.preflight: makes the checks before a sweep, and cannot be changed")
    for key, name in _leaves(whole.hydra):
        if key.endswith("._target_") and not _TARGETS.fullmatch(str(name)) and not key.startswith("sweeper.params"):
            raise ValueError(f"hydra.{key}={name}: only ablate's, Hydra's own and its plugins' may be there")
    if not (folders or args.config_name or whole.hydra.searchpath):
        return
    typed = {text.lstrip("+~").partition("=")[0] for text in args.overrides}
    if whole.allow and "allow" not in typed:
        raise ValueError(f"allow: a file cannot allow code; if you trust it, type 'allow=[{','.join(whole.allow)}]'")
    choices = {group: name for group, name in whole.hydra.runtime.choices.items() if group.startswith("hydra/")}
    chosen = [f"{group}={name}" for group, name in choices.items() if name is not None]
    others = [text for text in whole.hydra.overrides.hydra if "/" not in text.partition("=")[0]]
    try:
        own = _composed(None, None, None, [*chosen, *others])
    except HydraException as error:
        raise ValueError(
            f"{str(error).splitlines()[0]}: it is of a file that is not ablate's, and what Hydra itself runs is not "
            "for such a file to say"
        ) from error
    ours, theirs = (dict(_leaves(cfg.hydra)) for cfg in (own, whole))
    for key in {**theirs, **ours}:
        if ours.get(key) != theirs.get(key) and not _harmless(key, theirs.get(key)):
            raise ValueError(
                f"hydra.{key}: is {theirs.get(key)!r} by a file that is not ablate's, and what Hydra itself runs and "
                f"writes is not for such a file to say; if you want it, type 'hydra.{key}=…'"
            )


def check_job(master: DictConfig, job: DictConfig) -> None:
    """Refuses a job of a sweep that changes what was checked of its command."""
    for key in _OF_A_JOB:
        before, now = (_plain(OmegaConf.select(cfg, key)) for cfg in (master, job))
        if before != now:
            raise ValueError(f"{key}: a job of a sweep cannot change it to {now!r}; set it for the whole command")


def worst_value(hydra_config: HydraConf) -> float | None:
    """Returns what a search is told of a trial that diverged, the worst there is; None where nothing is searched.

    NaN would not do: Optuna's sweeper ends at the first trial without a value.
    """
    if hydra_config.mode != RunMode.MULTIRUN:
        return None
    direction = OmegaConf.select(hydra_config.sweeper, "direction")
    maximize = OmegaConf.select(hydra_config.sweeper, "optim.maximize")  # as Nevergrad's sweeper says it
    if maximize is None and direction is not None:
        maximize = {"maximize": True, "minimize": False}.get(getattr(direction, "name", str(direction)))
    return None if maximize is None else -math.inf if maximize else math.inf


def _composed(config_path: str | None, folder: str | None, name: str | None, overrides: Sequence[str]) -> DictConfig:
    """Returns the configuration as `hydra.main` composes it."""
    setup_globals()
    search = create_automatic_config_search_path(__file__, None, config_path or str(config_dir()))
    if folder is not None and Path(folder).is_dir():
        path = f"file://{os.path.abspath(folder)}"  # noqa: PTH100 - as Hydra's own
        search.prepend("command-line", path, anchor=SearchPathQuery(provider="schema"))
    return ConfigLoaderImpl(search).load_configuration(
        name or "config", list(overrides), RunMode.MULTIRUN, validate_sweep_overrides=False
    )


def _leaves(node: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    plain = _plain(node)
    if isinstance(plain, dict) and plain:
        for key, value in plain.items():
            yield from _leaves(value, f"{prefix}{key!s}.")
    elif isinstance(plain, list) and any(isinstance(item, dict | list) for item in plain):
        for number, value in enumerate(plain):
            yield from _leaves(value, f"{prefix}{number}.")
    else:
        yield prefix.removesuffix("."), plain


def _harmless(key: str, value: object) -> bool:
    if _ANYBODYS.fullmatch(key):
        return key.startswith("sweeper.params") or not re.search(r"(^|\.)_\w+_($|\.)", key)
    return key.startswith(("launcher.", "sweeper.")) and isinstance(value, int | float)


def _plain(value: object) -> object:
    return OmegaConf.to_container(value, resolve=False) if OmegaConf.is_config(value) else value


def _resolve_typed_variables_only(typed: str) -> None:
    """Has ${oc.env:NAME} give the variables that the command line asks for and no other: a run records its values."""

    def variable(name: str, *default: object) -> object:
        if not re.search(rf"oc\.env:\s*{re.escape(name)}\b", typed):
            raise ValueError(
                f"${{oc.env:{name}}}: a file cannot read the environment, which may hold secrets; "
                "type what it is for, as KEY=${oc.env:" + name + "}"
            )
        return oc.env(name, *default)

    OmegaConf.register_new_resolver("oc.env", variable, replace=True)
