"""Layers that run through hooks on their anchors, beside which no sequence has a place for them."""

from torch import nn


def anchors_of(model: nn.Module, layer: nn.Module) -> list[nn.Module]:
    """Returns the modules through whose hooks an inserted layer runs; none if it stands in a sequence."""
    hooks = {part: [*part._forward_hooks.values(), *part._forward_pre_hooks.values()] for part in model.modules()}
    return [
        part
        for part, own in hooks.items()
        if any(isinstance(hook, After | Before) and any(layer is one for one in hook.layers) for hook in own)
    ]


def insertions(anchor: nn.Module, kind: "type[After] | type[Before]") -> "After | Before":
    """Returns the hook that runs the layers inserted on one side of an anchor."""
    hooks = anchor._forward_hooks if kind is After else anchor._forward_pre_hooks
    for hook in hooks.values():
        if isinstance(hook, kind):
            return hook
    made = kind()
    if isinstance(made, After):
        anchor.register_forward_hook(made)  # after the anchor's own hooks, which are a part of it
    else:
        anchor.register_forward_pre_hook(made, prepend=True)
    return made


def carry_insertions(old: nn.Module, new: nn.Module) -> None:
    """Inserts before and after a layer what was inserted before and after the one whose place it takes."""
    for hooks in (old._forward_hooks, old._forward_pre_hooks):
        for hook in hooks.values():
            if isinstance(hook, After | Before):
                insertions(new, type(hook)).layers.extend(hook.layers)


# Classes, not closures: a copy of the model then calls its own copies of the layers.
class After:
    """Runs inserted layers on the output of their anchor."""

    def __init__(self) -> None:
        self.layers: list[nn.Module] = []

    def add(self, layer: nn.Module) -> None:
        self.layers.insert(0, layer)

    def __call__(self, module: nn.Module, args: object, output: object) -> object:
        for layer in self.layers:
            output = layer(output)
        return output


class Before:
    """Runs inserted layers on the first input of their anchor."""

    def __init__(self) -> None:
        self.layers: list[nn.Module] = []

    def add(self, layer: nn.Module) -> None:
        self.layers.append(layer)

    def __call__(self, module: nn.Module, args: tuple[object, ...]) -> tuple[object, ...]:
        if not args:
            raise TypeError(f"{type(module).__name__} is given its input by name, where no layer can be inserted")
        x = args[0]
        for layer in self.layers:
            x = layer(x)
        return (x, *args[1:])
