"""What a key of a configuration means, said where the key is declared."""

import math
import re
from collections.abc import Callable
from dataclasses import Field, dataclass, field
from typing import Any

from omegaconf import MISSING

from ablate.files import FOLDER_NAME, Plain
from ablate.messages import nearest

_SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")  # of folders' names, those that no shell takes for something else


@dataclass(frozen=True)
class Meaning:
    """What a key means for a run, and which values it can have."""

    help: str = ""  # what it sets, in words
    alters: bool = True  # whether it can alter a result; then it is part of a run's identity
    repeats: bool = False  # whether runs that differ in it alone repeat one variant
    cohort: bool = False  # whether the runs of a cohort must have it in common
    clock: bool = False  # whether the time of a training step depends on it, the machine aside
    least: float | None = None  # the smallest value
    above: float | None = None  # what a value must be larger than
    below: float | None = None  # and smaller than
    choices: tuple[str, ...] = ()  # all values; empty if there is no list of them
    names_folder: bool = False  # whether it becomes part of a path

    @property
    def tells_apart(self) -> bool:
        """Whether runs that differ in it are of different variants."""
        return self.alters and not self.repeats

    def check(self, key: str, value: object) -> None:
        """Refuses a value that the key cannot have; None is one that is not set."""
        if isinstance(value, list):
            for item in value:
                self.check(key, item)
        elif isinstance(value, str):
            if self.choices and value not in self.choices:
                raise ValueError(f"{key}={value}: there is no such choice; {nearest(value, self.choices)}")
            if self.names_folder and not (_SAFE.fullmatch(value) and FOLDER_NAME.fullmatch(value)):
                raise ValueError(
                    f"{key}={value!r}: names a folder, so use at most 100 letters, digits, '_', '-', '.' and '+'"
                )
        elif isinstance(value, int | float):
            if not math.isfinite(value):
                raise ValueError(f"{key}={value}: must be a finite number")
            self._check_bounds(key, value)

    def _check_bounds(self, key: str, value: float) -> None:
        bounds = {
            f"at least {self.least}": self.least is None or value >= self.least,
            f"above {self.above}": self.above is None or value > self.above,
            f"below {self.below}": self.below is None or value < self.below,
        }
        if not all(bounds.values()):
            given = (self.least, self.above, self.below)
            words = [text for text, bound in zip(bounds, given, strict=True) if bound is not None]
            raise ValueError(f"{key}={value}: must be {' and '.join(words)}")


# What the keys of a section have of the section's own meaning, where they say nothing else.
INHERITED = ("alters", "cohort", "clock")


def key(help: str = "", default: Any = MISSING, *, make: Callable[[], object] | None = None, **meaning: Any) -> Any:
    """Returns a dataclass field with a meaning; of the attributes that are not given, some are the section's.

    Args:
        help: What it sets, in words.
        default: Its value where nothing sets it; without one it has to be set.
        make: Makes the default instead, if that is a list, a mapping or a section.
        meaning: Further attributes of `Meaning`.
    """
    metadata = {"meaning": {"help": help, **meaning}}
    return field(default=default, metadata=metadata) if make is None else field(default_factory=make, metadata=metadata)


def told(item: "Field[Any]") -> Plain:
    """Returns what a field's declaration says of its meaning."""
    return dict(item.metadata.get("meaning", {}))
