"""The optimizer, the learning-rate schedule and the average of weights that a configuration names."""

import inspect

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ablate.config.targets import instantiate, locate
from ablate.files import Plain, PlainMapping


def build_optimizer(config: PlainMapping, model: nn.Module, graphed: bool = False) -> Optimizer:
    """Returns the optimizer of a model on its device, in its fused form where torch has one.

    If its steps become part of a CUDA graph, what changes between them is on the device.
    """
    target = locate("optimizer._target_", config["_target_"])
    possible = inspect.signature(target).parameters
    forms = {name: True for name in ("fused", *(["capturable"] if graphed else [])) if name in possible}
    parameters = list(model.parameters())
    optimizer: Optimizer = instantiate("optimizer", config, parameters, **forms)
    if graphed:
        for group in optimizer.param_groups:
            group["lr"] = torch.tensor(group["lr"], device=parameters[0].device)
    return optimizer


def build_scheduler(config: PlainMapping, optimizer: Optimizer, steps: int) -> LRScheduler | None:
    """Returns the schedule over all steps of a run, to be stepped after each; None for a constant learning rate.

    The optimizer's learning rate is where a cosine decay starts and what one cycle reaches.
    """
    if config["_target_"] is None:
        return None
    target = locate("scheduler._target_", config["_target_"])
    spans: Plain = {"total_steps": steps} if "total_steps" in inspect.signature(target).parameters else {"T_max": steps}
    if target is torch.optim.lr_scheduler.OneCycleLR:
        spans["max_lr"] = optimizer.param_groups[0]["lr"]
    scheduler: LRScheduler = instantiate("scheduler", config, optimizer, **spans)
    return scheduler


def build_average(model: nn.Module, ema_decay: float | None, swa_from: int | None) -> AveragedModel | None:
    """Returns a moving average of a model's weights and of its batch norms' statistics, or a mean of weights alone."""
    if ema_decay is not None:
        return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(ema_decay), use_buffers=True)
    return None if swa_from is None else AveragedModel(model)
