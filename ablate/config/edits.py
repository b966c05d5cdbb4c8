"""The edits of a model: what one is, and what it is in words. Pure, for both wings."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass
class Edit:
    """One change to a model: exactly one of the keys in `EDITS` is set.

    A layer is named by its dotted name or by a pattern, in which `*` and `?` stand for anything within one part of the
    name and `**` for any number of parts.
    """

    insert: str | None = None  # "before" or "after" the layers named by `at`
    replace: str | None = None  # the layers that `layer` takes the place of
    remove: str | None = None  # those to take out
    bypass: str | None = None  # those to pass the input by; they and their weights stay, unused
    freeze: str | None = None  # those whose weights stay as they are
    reinit: str | None = None  # those that draw their weights anew, such as pretrained ones
    set: dict[str, Any] | None = None  # arguments to change of the layers named by `at`
    at: str | None = None
    type: str | None = None  # only layers of this class
    layer: dict[str, Any] | None = None  # _target_ and arguments of the new layer; "@name" is the old one's attribute

    @property
    def kind(self) -> str:
        """Which of `EDITS` it is."""
        return next(kind for kind in EDITS if getattr(self, kind) is not None)

    @property
    def where(self) -> str:
        """The name or the pattern of the layers it is about."""
        where = self.at if self.kind in PLACED else getattr(self, self.kind)
        return "**" if where is None else str(where)

    @property
    def is_pattern(self) -> bool:
        """Whether it is about all layers that fit, not about one."""
        return self.type is not None or any(sign in self.where for sign in "*?[")


EDITS = ("insert", "replace", "remove", "bypass", "freeze", "reinit", "set")


PLACED = ("insert", "set")  # edits that `at` gives the place of


def describe_edit(name: str, edit: Mapping[str, Any]) -> str:
    """Returns an edit in words."""
    layer = edit.get("layer") or {}
    arguments = ", ".join(f"{key}={value}" for key, value in layer.items() if key != "_target_")
    new = f"{str(layer.get('_target_', '')).rpartition('.')[2]}({arguments})"
    if edit.get("insert"):
        return f"{name} = {new} {edit['insert']} {edit.get('at')}"
    if edit.get("replace"):
        return f"{new} in place of {edit['replace']}"
    return f"without {edit.get('remove')}"
