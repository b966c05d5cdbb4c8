"""A document as Markdown and HTML."""

import re
from collections.abc import Mapping
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader

from ablate.messages import printable
from ablate.report.output.document import Block, Bullets, Cell, Commands, Document, Picture, Table, Text
from ablate.report.output.figures import within_page

# What Markdown or the HTML in it would take for markup; "_" means nothing within a word.
_MARKUP = re.compile(r"([\\`*\[\]<>|~#&$]|(?<!\w)_|_(?!\w)|^[-+=](?=[-+=\s])|(?<=^\d)[.)](?=\s))")


def markdown(document: Document) -> str:
    """Returns a document as Markdown; its pictures are the SVG files of their names."""
    parts = [f"# {_escaped(document.title)}", *map(markdown_block, document.lead)]
    for section in document.sections:
        parts += [f"## {_escaped(section.title)}", *map(markdown_block, section.blocks)]
    return "\n\n".join(parts) + "\n"


def html(document: Document, pictures: Mapping[str, str]) -> str:
    """Returns a document as one HTML page that needs no other file.

    Args:
        document: The document.
        pictures: SVG by the picture's name.
    """
    runs = [run for block in document.blocks if isinstance(block, Table) for run in block.runs]
    environment = _environment({run: place for place, run in enumerate(runs)})
    environment.tests |= {
        name: lambda block, kind=kind: isinstance(block, kind)
        for name, kind in {"text": Text, "bullets": Bullets, "commands": Commands, "table": Table}.items()
    }
    drawn = {name: within_page(svg) for name, svg in pictures.items()}
    return environment.get_template("index.html").render(document=document, pictures=drawn)


def _environment(places: Mapping[str, int]) -> Environment:
    """Returns what renders templates, where numbers lead to the runs that have a place on the page."""
    environment = Environment(
        loader=PackageLoader("ablate.report.output", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: printable(value) if type(value) is str else value,
    )
    environment.globals["leads_to"] = lambda item: [places[run] for run in dict.fromkeys(item.runs) if run in places]
    return environment


def html_table(table: Table) -> str:
    """Returns a table as HTML that needs no style of ours."""
    template: Any = _environment({}).get_template("table.html").module
    return str(template.show_table(table, sorts=False))


def markdown_block(block: Block) -> str:
    """Returns a block as Markdown."""
    match block:
        case Text(words):
            return _escaped(words)
        case Bullets(items):
            return "\n".join(f"- {f'**{item.word}:** ' * bool(item.word)}{_escaped(item.text)}" for item in items)
        case Commands(lines):
            text = printable("\n".join(lines))
            fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", text)), 3)  # longer than any within
            return "\n".join([fence, text, fence])
        case Picture(name, caption, alt):
            return f"![{_escaped(alt)}]({name}.svg)\n\n{_escaped(caption)}"
        case Table():
            columns = list(zip(*block.rows, strict=True))
            align = [{"number": "right", "sign": "center"}.get(of[0].content, "left") for of in columns]
            body: list[list[str]] = []
            for title, rows in block.in_parts:
                body += [[f"**{_escaped(title)}**", *[""] * (len(columns) - 1)]] if title else []
                body += [list(map(_markdown_cell, row)) for row in rows]
            heads = [_escaped(cell.head) for cell in block.rows[0]]
            frame = pd.DataFrame(body)
            text = frame.to_markdown(index=False, headers=heads, disable_numparse=True, colalign=align)
            return "\n\n".join(filter(None, [_escaped(block.caption), text, _escaped(block.note)]))


def _markdown_cell(cell: Cell) -> str:
    text = _escaped(cell.text)
    text = {"best": f"**{text}**", "second": f"<ins>{text}</ins>"}.get(cell.mark, text)
    return f"{text}<sup>{_escaped(cell.notes)}</sup>" if cell.notes else text


def _escaped(text: str) -> str:
    return _MARKUP.sub(r"\\\1", printable(" ".join(text.split())))
