"""The options of the config groups, as files."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from ablate.files import Plain, PlainMapping


def config_dir() -> Path:
    """Returns the folder of the config groups: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def options(group: str, folders: Iterable[Path], schemas: PlainMapping | None = None) -> dict[str, Plain]:
    """Returns a group's options, the first folder's of each name, merged with those that their defaults list names.

    Args:
        group: Its name.
        folders: The folders of config groups.
        schemas: Defaults by name that a defaults list can name beside options.
    """
    files: dict[str, Path] = {}
    for folder in folders:
        for file in sorted((folder / group).glob("*.yaml")):
            files.setdefault(file.stem, file)
    loaded = {name: load(file) for name, file in files.items()}
    return {name: _resolved(name, {**(schemas or {}), **loaded}, ()) for name in loaded}


def load(file: Path) -> Plain:
    """Returns a YAML file's mapping, as Hydra would read it."""
    try:
        config = _read(file, file.stat().st_mtime_ns)
    except (OSError, UnicodeDecodeError, YAMLError, OmegaConfBaseException) as error:
        raise ValueError(f"{file}: cannot be read as YAML: {error}") from error
    if not isinstance(config, DictConfig):
        raise ValueError(f"{file}: is not a mapping of keys to values")
    return _plain(config)


@cache
def _read(file: Path, _changed: int) -> DictConfig | ListConfig:
    """Reads a file once, as long as it stays as it is."""
    return OmegaConf.load(file)


def _resolved(name: str, loaded: PlainMapping, above: tuple[str, ...]) -> Plain:
    option = dict(loaded[name])
    named = [base for base in option.pop("defaults", None) or () if isinstance(base, str)]
    defaults = [base.removeprefix("/").partition("@")[0] for base in named]
    bases = [base for base in defaults if base in loaded and base not in (*above, name)]
    return _plain(OmegaConf.merge(*(_resolved(base, loaded, (*above, name)) for base in bases), option))


def _plain(config: DictConfig | ListConfig) -> Plain:
    plain = OmegaConf.to_container(config)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}
