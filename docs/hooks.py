"""Fills in, as the site is built, what the pages take from the code."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CONFIG = Path(__file__).parents[1] / "ablate" / "config" / "schema.py"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Returns a page with the schema in place of its mark; called by MkDocs."""
    return markdown.replace("<!-- schema -->", schema(CONFIG.read_text(encoding="utf-8")))


def schema(source: str) -> str:
    """Returns a table for each dataclass of the schema: key, type, default, and the comment beside it."""
    lines = source.splitlines()
    parts = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef):
            rows = [row for item in node.body if isinstance(item, ast.AnnAssign) for row in _row(item, lines)]
            base = f" Beside the keys of `{ast.unparse(node.bases[0])}`:" if node.bases else ""
            text = (ast.get_docstring(node) or "").strip()
            parts += [f"## {node.name}", "", f"{text}{base}".strip(), ""]
            if rows:
                parts += ["| key | type | default | |", "| --- | --- | --- | --- |", *rows, ""]
    return "\n".join(parts)


def _row(item: ast.AnnAssign, lines: list[str]) -> Iterator[str]:
    default = "" if item.value is None else ast.unparse(item.value)
    default = default.removeprefix("field(default_factory=").removesuffix(")").replace("lambda: ", "")
    default = {"MISSING": "needed", "dict": "{}", "list": "[]"}.get(default, f"`{default}`")
    comment = lines[(item.end_lineno or 1) - 1].partition("#")[2].strip()
    kind = ast.unparse(item.annotation).replace(" | ", " or ")  # a bar would end the cell
    yield f"| `{ast.unparse(item.target)}` | `{kind}` | {default} | {comment.replace('|', '&#124;')} |"
