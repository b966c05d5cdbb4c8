"""The time of each layer of a model, by torch's profiler."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import nn
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile, record_function

_MARK = "ablate layer "
_BACKWARD = "autograd::engine::evaluate_function: "


@dataclass(frozen=True)
class LayerTime:
    """What a layer takes of a training step, in seconds."""

    layer: str  # its name, as in `named_modules()`
    kind: str  # its class
    forward: float
    backward: float  # of the gradients of what it computed


def time_layers(model: nn.Module, step: Callable[[], object], steps: int) -> list[LayerTime]:
    """Returns the mean times of a model's layers (modules without children) over some training steps, as they run.

    The profiler's own cost is in them, so they are read against each other, not against a step's time without it. Steps
    have warmed up before, and are no CUDA graph.
    """
    layers = {name: module for name, module in model.named_modules() if not any(module.children())}
    cuda = next(model.parameters()).device.type == "cuda"
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # it tells on standard error of every GPU that is not there
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    with ExitStack() as hooks:
        for name, module in layers.items():
            mark = _Mark(f"{_MARK}{name}")
            hooks.callback(module.register_forward_pre_hook(mark.enter, prepend=True).remove)
            hooks.callback(module.register_forward_hook(mark.leave, always_call=True).remove)
        with profile(activities=activities) as profiler:
            for _ in range(steps):
                step()
    forward, backward = _attribute(list(profiler.events() or ()), cuda)
    return [
        LayerTime(name, type(layers[name]).__name__, forward[name] / steps, backward[name] / steps) for name in forward
    ]


class _Mark:
    """Marks what runs between two hooks."""

    def __init__(self, name: str) -> None:
        self.name = name

    def enter(self, *_: object) -> None:
        self.mark = record_function(self.name)
        self.mark.__enter__()

    def leave(self, *_: object) -> None:
        self.mark.__exit__(None, None, None)


def _attribute(events: Iterable[FunctionEvent], cuda: bool) -> tuple[dict[str, float], dict[str, float]]:
    """Returns the seconds of each layer's forward and backward passes."""

    def seconds(event: FunctionEvent) -> float:
        return float(event.device_time_total if cuda else event.cpu_time_total) / 1e6

    forward: dict[str, float] = defaultdict(float)
    backward: dict[str, float] = defaultdict(float)
    layer_of: dict[int, str] = {}  # by the number that an operation shares with its gradient
    on_host = [event for event in events if event.device_type == torch._C._autograd.DeviceType.CPU]
    on_host.sort(key=lambda event: event.time_range.start)
    for event in on_host:
        layer = _layer(event)
        if event.name.startswith(_MARK):
            forward[layer] += seconds(event)
        elif layer and event.sequence_nr >= 0:
            # An operation without a gradient has the number of the next one with one, which comes later.
            layer_of[event.sequence_nr] = layer
    for event in on_host:
        if event.name.startswith(_BACKWARD) and event.sequence_nr in layer_of:
            backward[layer_of[event.sequence_nr]] += seconds(event)
    return forward, backward


def _layer(event: FunctionEvent | None) -> str:
    """Returns the layer in which an operation ran; empty if in none."""
    while event is not None:
        if event.name.startswith(_MARK):
            return str(event.name.removeprefix(_MARK))
        event = event.cpu_parent
    return ""
