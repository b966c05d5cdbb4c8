"""`ablate tree model=dropout`: the layers that edits can name, and what a variant's edits change."""

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.config.compose import compose
from ablate.config.plain import plain
from ablate.config.targets import check_targets, within
from ablate.messages import aligned, say, say_json
from ablate.records.record import Size

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Row:
    """A layer, or a part of the model that holds layers."""

    name: str  # as in `named_modules()`
    kind: str  # its class, and for a layer its arguments
    state: str  # `frozen`, `bypassed`, both or empty
    shape: tuple[int, ...]  # of its output for one image; empty if it was not called or returns no tensor
    parameters: int  # their number, those of its parts included
    flops: int  # of one image's forward pass, where torch counts them


@dataclass(frozen=True)
class Tree:
    """A model as it is made and with its edits: what `ablate tree --json` prints."""

    model: str
    images: tuple[int, ...]  # the shape of one
    classes: int
    before: Size
    after: Size
    edits: Mapping[str, str]  # in words, by name
    base_layers: Sequence[Row]  # that edits can name
    layers: Sequence[Row]  # with the edits
    unnamed: Mapping[str, int] | None  # how often each function is called that no edit can name; None if not known


def outline(model: "nn.Module", sample: "Tensor") -> list[Row]:
    """Returns a row for each part of a model that takes images of shape (images, channels, height, width)."""
    import torch
    from torch import Tensor
    from torch.utils.flop_counter import FlopCounterMode

    from ablate.models.proof import fused_kernels

    shapes: dict[str, tuple[int, ...]] = {}

    def note(name: str, _module: object, _args: object, output: object) -> None:
        if isinstance(output, Tensor):
            shapes[name] = tuple(output.shape[1:])

    hooks = [module.register_forward_hook(partial(note, name)) for name, module in model.named_modules()]
    try:
        with FlopCounterMode(display=False) as counter, torch.no_grad(), fused_kernels(False):
            model.eval()(sample)
    finally:
        for hook in hooks:
            hook.remove()
    flops = {
        name.partition(".")[2]: sum(by_operation.values()) // len(sample)
        for name, by_operation in counter.get_flop_counts().items()
    }
    return [
        Row(
            name,
            type(module).__name__ if any(module.children()) else str(module),
            _state(module),
            shapes.get(name, ()),
            sum(parameter.numel() for parameter in module.parameters()),
            flops.get(name, 0),
        )
        for name, module in model.named_modules()
        if name
    ]


_NOT_COMPUTING = ("getattr", "getitem", "size", "dim", "_assert", "eq", "is_grad_enabled")


def unnamed(model: "nn.Module") -> dict[str, int] | None:
    """Returns how often a model's forward calls each function that is no layer; None if torch.fx cannot trace it."""
    from torch import fx

    try:
        nodes = fx.symbolic_trace(model).graph.nodes
    except Exception:  # of many kinds: what a forward decides by values cannot be traced
        return None
    calls = [str(node.target if node.op == "call_method" else getattr(node.target, "__name__", node.target))
             for node in nodes if node.op in ("call_function", "call_method")]  # fmt: skip
    return dict(Counter(call for call in calls if call not in _NOT_COMPUTING))


def _say_unnamed(found: Mapping[str, int] | None) -> str:
    way_out = "give one a name (self.act = torch.nn.ReLU()), or make it a switch of the model's, for a component to set"
    if found is None:
        return f"Calls of functions in the model's forward, such as relu(x), no edit can name: {way_out}."
    often = ", ".join(f"{name} ({count} ×)" if count > 1 else name for name, count in found.items())
    return f"What no edit can name, since they are calls of functions: {often}; {way_out}." if found else ""


def _state(module: "nn.Module") -> str:
    parameters = list(module.parameters())
    frozen = bool(parameters) and not any(parameter.requires_grad for parameter in parameters)
    return " ".join(["frozen"] * frozen + ["bypassed"] * ("forward" in vars(module)))


def difference(before: Sequence[Row], after: Sequence[Row]) -> str:
    """Returns the parts of two models as an indented tree, each with a sign if it is `+` new, `~` changed, `-` removed.

    A removed part stands after the one that held it.
    """
    old, new = ({row.name: row for row in rows} for rows in (before, after))
    rows = list(after)
    for name, row in old.items():
        if name not in new:
            beside = [place for place, other in enumerate(rows) if within(other.name, [name.rpartition(".")[0]])]
            rows.insert(max(beside, default=len(rows) - 1) + 1, row)
    table = [("", "name", "output", "parameters", "FLOPs", "layer")]
    for row in rows:
        was, sign, kind = old.get(row.name), "", f"{row.kind} {row.state}".strip()
        if row.name not in new:
            sign = "-"
        elif was is None:
            sign = "+"
        elif (was.kind, was.state) != (row.kind, row.state):
            sign = "~"
            kind += f" (was {was.kind})" if was.kind != row.kind else ""
        name = "  " * row.name.count(".") + row.name
        table.append((sign, name, "x".join(map(str, row.shape)), f"{row.parameters:,}", f"{row.flops:,}", kind))
    return aligned(table)


def tree(overrides: Sequence[str], folder: Path | None = None) -> Tree:
    """Returns the layers of the model that overrides describe, before and after its edits."""
    cfg = compose(overrides, folder)

    import torch

    from ablate.models.variant import build
    from ablate.runs.prepare import load_data

    check_targets(plain(cfg), cfg.allow)
    data = load_data(cfg.data, cfg.seed)
    shape = data.train.shape
    base, classes = cfg.model.base, len(data.classes)
    bare = build(base, {}, cfg.seed, shape, classes)
    variant = build(base, cfg.model.edits, cfg.seed, shape, classes, weights=cfg.model.weights)
    sample = torch.zeros(2, *shape)
    edits = {name: edit.describe(name) for name, edit in cfg.model.edits.items()}
    made = variant.record
    before, after = outline(bare.model, sample), outline(variant.model, sample)
    return Tree(
        cfg.model.name, tuple(shape), classes, made.before, made.after, edits, before, after, unnamed(bare.model)
    )


def show(found: Tree) -> str:
    """Returns a tree for people, with what differs from its base."""
    lines = [f"{found.model}, for images of {'x'.join(map(str, found.images))} and {found.classes} classes"]
    for name, size in (("base", found.before), *([("with edits", found.after)] if found.edits else [])):
        trained = f" ({size.trainable:,} trained)" if size.trainable != size.parameters else ""
        lines.append(
            f"  {name}: {size.layers} layers, {size.parameters:,} parameters{trained}, {size.flops:,} FLOPs an image"
        )
    lines += [f"  {edit}" for edit in found.edits.values()]
    said = _say_unnamed(found.unnamed)
    return "\n".join([*lines, "", difference(found.base_layers, found.layers), *(["", said] if said else [])])


def main(arguments: Sequence[str]) -> int:
    """Prints a model's tree."""
    parser = argparse.ArgumentParser(prog="ablate tree", description=(__doc__ or "").partition(": ")[2])
    parser.add_argument("overrides", nargs="*", help="as of a run: model=dropout model.edits.drop3.layer.p=0.2")
    parser.add_argument("--config-dir", type=Path, help="a folder with config groups of your own")
    parser.add_argument("--json", action="store_true", help="print it as JSON, for programs")
    options = parser.parse_args(arguments)
    found = tree(options.overrides, options.config_dir)
    if options.json:
        say_json(found)
    else:
        say(show(found))
    return 0
