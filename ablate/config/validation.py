"""Checks of a configuration's values, as far as they need neither torch nor data."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass

from ablate.config.plain import meanings
from ablate.config.schema import AdamConfig, Config, SGDConfig


def validate(config: Config) -> None:
    """Checks every value against what its key is declared to hold, and those that have to go together.

    Raises:
        ValueError: An impossible value; the message names its key and the way out.
    """
    for key, value in _values(config):
        meanings()[key].check(key, value)
    for name in config.allow:
        if not all(part.isidentifier() for part in name.split(".")):
            raise ValueError(f"allow={name}: name a Python package or module, such as mypackage")
    optimizer = config.optimizer
    if isinstance(optimizer, AdamConfig) and len(optimizer.betas) != 2:
        raise ValueError(f"optimizer.betas={optimizer.betas}: Adam takes two")
    if isinstance(optimizer, SGDConfig) and optimizer.nesterov and optimizer.momentum == 0:
        raise ValueError("optimizer.nesterov=true needs a momentum: set optimizer.momentum or optimizer.nesterov=false")


def _values(section: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    assert is_dataclass(section)
    for item in fields(section):
        value = getattr(section, item.name)
        if is_dataclass(value):
            yield from _values(value, f"{prefix}{item.name}.")
        elif item.name != "further":
            yield f"{prefix}{item.name}", value
