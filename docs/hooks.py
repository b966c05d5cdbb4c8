"""Fills in, as the site is built, what the pages take from the code."""

import inspect
from collections.abc import Iterator
from dataclasses import MISSING as NO_DEFAULT
from dataclasses import Field, fields
from types import ModuleType
from typing import Any

from ablate.config import schema as schema_module
from ablate.config.keys import told


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Returns a page with the schema in place of its mark; called by MkDocs."""
    return markdown.replace("<!-- schema -->", schema(schema_module))


def schema(module: ModuleType) -> str:
    """Returns a table for each dataclass of the schema: key, type, default, values, and what it means."""
    parts = []
    for kind in vars(module).values():
        if not (inspect.isclass(kind) and kind.__module__ == module.__name__):
            continue
        inherited = {item.name for base in kind.__bases__ if base is not object for item in fields(base)}
        rows = [row for item in fields(kind) if item.name not in inherited for row in _row(item, module)]
        base = f" Beside the keys of `{kind.__base__.__name__}`:" if inherited else ""
        text = "" if (kind.__doc__ or "").startswith(f"{kind.__name__}(") else inspect.cleandoc(kind.__doc__ or "")
        parts += [f"## {kind.__name__}", "", f"{text}{base}".strip(), ""]
        if rows:
            parts += ["| key | type | default | values | |", "| --- | --- | --- | --- | --- |", *rows, ""]
    return "\n".join(parts)


def _row(item: "Field[Any]", module: ModuleType) -> Iterator[str]:
    if item.metadata.get("omegaconf_ignore"):
        return
    says = told(item)
    default: object = item.default
    if item.default_factory is not NO_DEFAULT:
        made = item.default_factory()
        default = type(made).__name__ if type(made).__module__ == module.__name__ else made
    shown = "needed" if default == "???" else f"`{default!r}`" if not isinstance(default, type) else f"`{default}`"
    kind = inspect.formatannotation(item.type).replace(f"{module.__name__}.", "").replace("ablate.config.edits.", "")
    kind = kind.replace(" | ", " or ")  # a bar would end the cell
    bounds = [f"{word} {says[what]}" for what, word in _BOUNDS.items() if says.get(what) is not None]
    values = ", ".join([*says.get("choices", ()), " and ".join(bounds)]).strip(", ")
    yield f"| `{item.name}` | `{kind}` | {shown} | {values} | {says.get('help', '').replace('|', '&#124;')} |"


_BOUNDS = {"least": "at least", "above": "above", "below": "below"}
