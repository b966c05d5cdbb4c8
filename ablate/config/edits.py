"""The edits of a model: what one is, how it is read, and what it is in words. Pure, for both wings."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields

from ablate.files import Plain, PlainMapping
from ablate.messages import nearest

KINDS = ("insert", "replace", "remove", "bypass", "freeze", "reinit", "set")
PLACED = ("insert", "set")  # kinds that `at` gives the place of
WITH_LAYER = ("insert", "replace")
POSITIONS = ("before", "after")


@dataclass(frozen=True, eq=False)
class Edit:
    """One change to a model: exactly one of the keys in `KINDS` is set.

    A layer is named by its dotted name or by a pattern, in which `*` and `?` stand for anything within one part of the
    name and `**` for any number of parts. Edits that say the same are equal.
    """

    insert: str | None = None  # "before" or "after" the layers named by `at`
    replace: str | None = None  # the layers that `layer` takes the place of
    remove: str | None = None  # those to take out
    bypass: str | None = None  # those to pass the input by; they and their weights stay, unused
    freeze: str | None = None  # those whose weights stay as they are
    reinit: str | None = None  # those that draw their weights anew, such as pretrained ones
    set: Plain | None = None  # arguments to change of the layers named by `at`
    at: str | None = None
    type: str | None = None  # only layers of this class
    layer: Plain | None = None  # _target_ and arguments of the new layer; "@name" is the old one's attribute

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Edit) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    @property
    def text(self) -> str:
        """The edit as JSON, the same for edits that say the same."""
        return json.dumps(self.plain(), sort_keys=True)

    def plain(self) -> Plain:
        """Returns the keys that are set, as plain data."""
        return {item.name: value for item in fields(self) if (value := getattr(self, item.name)) is not None}

    @property
    def kind(self) -> str:
        """Which of `KINDS` it is."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def where(self) -> str:
        """The name or the pattern of the layers it is about."""
        where = self.at if self.kind in PLACED else getattr(self, self.kind)
        return "**" if where is None else str(where)

    @property
    def is_pattern(self) -> bool:
        """Whether it is about all layers that fit, not about one."""
        return self.type is not None or any(sign in self.where for sign in "*?[")

    def describe(self, name: str) -> str:
        """Returns the edit in words; its name is that of the layer it inserts."""
        layers = self._layers()
        match self.kind:
            case "insert":
                return f"{name} = {_call(self.layer)} {self.insert} {layers}"
            case "replace":
                return f"{_call(self.layer)} in place of {layers}"
            case "remove":
                return f"without {layers}"
            case "bypass":
                return f"{layers} bypassed"
            case "freeze":
                return f"{layers} frozen"
            case "reinit":
                return f"{layers} re-initialised"
            case _:
                return f"{layers} with {_arguments(self.set)}"

    def _layers(self) -> str:
        """Returns the layers that it is about, in words: `c1`, `every ReLU`, `all of block*.conv`."""
        if self.type is None:
            return f"all of {self.where}" if self.is_pattern else self.where
        every = f"every {self.type.rpartition('.')[2]}"
        return every if self.where == "**" else f"{every} in {self.where}"


def _call(layer: Plain | None) -> str:
    assert layer is not None
    return f"{str(layer['_target_']).rpartition('.')[2]}({_arguments(layer)})"


def _arguments(node: Plain | None) -> str:
    return ", ".join(f"{key}={value}" for key, value in (node or {}).items() if key != "_target_")


def read_edits(raw: PlainMapping) -> dict[str, Edit]:
    """Returns the edits of a model by name, in the order in which they are made."""
    if not isinstance(raw, Mapping):
        raise ValueError(f"model.edits={raw}: must be a mapping of edits by name")
    return {str(name): _read(f"model.edits.{name}", str(name), edit) for name, edit in raw.items()}


def _read(key: str, name: str, raw: object) -> Edit:
    if not name.isidentifier():
        raise ValueError(f"{key}: a new layer's name must be a Python name, such as drop3")
    if not isinstance(raw, Mapping):
        raise ValueError(
            f"{key}={raw}: an edit is a mapping, such as {{insert: after, at: c1, layer: {{_target_: …}}}}"
        )
    names = [item.name for item in fields(Edit)]
    for part, value in ((str(part), value) for part, value in raw.items()):
        if part not in names:
            raise ValueError(f"{key}.{part}: an edit has no such key; {nearest(part, names)}")
        if part in ("layer", "set") and not isinstance(value, Mapping | None):
            what = "a layer is a mapping with a _target_ and its" if part == "layer" else "give a mapping of"
            raise ValueError(f"{key}.{part}={value}: {what} arguments")
        if part not in ("layer", "set") and not isinstance(value, str | None):
            raise ValueError(f"{key}.{part}={value}: must be a name")
    edit = Edit(**raw)
    chosen = [kind for kind in KINDS if getattr(edit, kind) is not None]
    if len(chosen) != 1:
        given = " and ".join(chosen) if chosen else "none of them"
        raise ValueError(f"{key}: an edit is one of {', '.join(KINDS[:-1])} and {KINDS[-1]}; this one has {given}")
    _check(key, edit)
    return edit


def _check(key: str, edit: Edit) -> None:
    if edit.insert is not None and edit.insert not in POSITIONS:
        raise ValueError(f"{key}.insert={edit.insert}: there is no such choice; {nearest(edit.insert, POSITIONS)}")
    if edit.kind in PLACED:
        if edit.at is None and edit.type is None:
            place = f"insert {edit.insert}" if edit.insert is not None else "change"
            raise ValueError(f"{key}.at is not set: name the layer to {place}")
    elif edit.at is not None:
        raise ValueError(f"{key}.at={edit.at}: only {' and '.join(PLACED)} take it; {edit.kind} names its layer itself")
    if edit.kind not in WITH_LAYER:
        if edit.layer is not None:
            raise ValueError(f"{key}.layer: {edit.kind} takes no layer; use replace to put one in a layer's place")
    elif edit.layer is None or "_target_" not in edit.layer:
        raise ValueError(f"{key}.layer._target_ is not set: name the new layer's class, such as torch.nn.Dropout")
    if edit.set is not None and not edit.set:
        raise ValueError(f"{key}.set={{}}: name the arguments to change, such as {{p: 0.2}}")
