"""Layers that run through hooks on their anchors, beside which no sequence has a place for them."""

import copy

from torch import nn


class Inserted:
    """Runs inserted layers on the first input of their anchor, or on its output; a hook on it.

    A class, not a closure: a copy of the model then calls its own copies of the layers.
    """

    def __init__(self, before: bool) -> None:
        self.before = before
        self.layers: tuple[nn.Module, ...] = ()

    def hook_on(self, anchor: nn.Module) -> None:
        if self.before:
            anchor.register_forward_pre_hook(self, prepend=True)
        else:
            anchor.register_forward_hook(self)  # after the anchor's own hooks, which are a part of it

    def __call__(self, module: nn.Module, args: tuple[object, ...], *output: object) -> object:
        if self.before and not args:
            raise TypeError(f"{type(module).__name__} is given its input by name, where no layer can be inserted")
        (x, *others) = args if self.before else output
        for layer in self.layers:
            x = layer(x)
        return (x, *others) if self.before else x


def insertions(anchor: nn.Module) -> list[Inserted]:
    """Returns what runs the layers inserted before and after a module."""
    hooks = (*anchor._forward_pre_hooks.values(), *anchor._forward_hooks.values())
    return [hook for hook in hooks if isinstance(hook, Inserted)]


def insert_beside(anchor: nn.Module, layer: nn.Module, before: bool) -> None:
    """Has a layer run next to its anchor, each time that the anchor runs."""
    hook = next((hook for hook in insertions(anchor) if hook.before == before), None)
    if hook is None:
        hook = Inserted(before)
        hook.hook_on(anchor)
    hook.layers = (*hook.layers, layer) if before else (layer, *hook.layers)


def carry_insertions(old: nn.Module, new: nn.Module) -> None:
    """Inserts beside a layer what was inserted beside the one whose place it takes."""
    for hook in insertions(old):
        copy.copy(hook).hook_on(new)


def anchors_of(model: nn.Module, layer: nn.Module) -> list[nn.Module]:
    """Returns the modules beside which an inserted layer runs through hooks; none if it stands in a sequence."""
    return [part for part in model.modules() if any(layer in hook.layers for hook in insertions(part))]
