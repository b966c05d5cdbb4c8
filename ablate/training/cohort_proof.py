"""Proves a cohort before its first step: its runs compute in lock-step what each computes alone."""

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.optim import SGD

from ablate.messages import first_line
from ablate.seeding import CPU, generator
from ablate.training.cohort import Cohort, Trainee

_TOLERANCE = {torch.float64: 1e-6, torch.float32: 2e-3}  # share of the largest value that rounding explains
_SPREAD = 0.05  # of noise on the weights: layers that start at zero would hide what is before them
_ERRORS = (RuntimeError, ValueError, IndexError, TypeError, AttributeError, AssertionError)

Results = dict[str, Tensor | None]  # by what they are, in words


def disproved(trainees: Sequence[Trainee], seeds: Sequence[int], images: Tensor, rewrite: bool = True) -> list[str]:
    """Returns for each trainee in what it differs in lock-step from itself alone, in words; empty if in nothing.

    Outputs in training and in evaluation, gradients, buffers, and outputs after a step are compared, on copies on the
    CPU and in double precision, so that rounding hides no difference; on a few images as models take them.
    """
    last = images.is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if last else torch.contiguous_format  # by which dropout draws its noise
    for kind, tolerance in _TOLERANCE.items():
        batches = {
            seed: images[torch.arange(len(images)).roll(place)].to(CPU, kind, memory_format=layout)
            for place, seed in enumerate(dict.fromkeys(seeds))
        }
        members = list(enumerate(trainees))
        try:
            alone = [_step([_copy(*one, kind)], [seeds[one[0]]], batches, rewrite)[0] for one in members]
        except RuntimeError:
            if kind is torch.float64:  # a layer that computes in single precision only
                continue
            raise
        try:
            together = _step([_copy(*one, kind) for one in members], seeds, batches, rewrite)
        except _ERRORS as error:
            return [f"cannot run beside the others: {first_line(error)}"] * len(trainees)
        return [_difference(one, other, tolerance) for one, other in zip(together, alone, strict=True)]
    return [""] * len(trainees)


def _step(
    trainees: Sequence[Trainee], seeds: Sequence[int], batches: Mapping[int, Tensor], rewrite: bool
) -> list[Results]:
    """Trains some members on a batch of each seed, and returns what came of each."""
    cohort = Cohort(trainees, seeds, CPU, rewrite)
    cohort.train(True)
    with cohort.noise(0):
        trained = cohort.forward([batches[seed].clone() for seed in cohort.sources])
    weights = torch.randn(trained[:, :1].shape, generator=generator(0, "proof"), dtype=torch.float64).to(trained.dtype)
    cohort.zero_gradients()
    (trained * weights).sum().backward()
    results: list[Results] = []
    for number, trainee in enumerate(trainees):
        result: Results = {"output in training": trained[:, number].detach().clone()}
        for name, parameter in trainee.model.named_parameters():
            result[f"gradient of {name}"] = None if parameter.grad is None else parameter.grad.clone()
        result |= {f"buffer {name}": buffer.clone() for name, buffer in trainee.model.named_buffers()}
        results.append(result)
        trainee.optimizer.step()
    cohort.train(False)
    with torch.inference_mode():
        evaluated = cohort.forward([batches[seed].clone() for seed in cohort.sources])
    for number, result in enumerate(results):
        result["output in evaluation"] = evaluated[:, number].clone()
    return results


def _copy(member: int, trainee: Trainee, kind: torch.dtype) -> Trainee:
    """Returns a copy on the CPU, with weights that no other member has and an optimizer of its own."""
    model, layers = copy.deepcopy((trainee.model, dict(trainee.layers)))
    model.to(CPU, kind)
    noise = generator(member, "proof")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=noise).to(kind), alpha=_SPREAD)
    return Trainee(model, layers, SGD(model.parameters(), lr=0.01), None)


def _difference(together: Results, alone: Results, tolerance: float) -> str:
    """Returns what differs by more than rounding, in words."""
    for name, expected in alone.items():
        value = together[name]
        if value is None or expected is None:  # no gradient, which is a gradient of zero
            there = expected if value is None else value
            differs = there is not None and bool(there.any())
        elif value.shape != expected.shape:
            differs = True
        else:
            bound = tolerance * max(1.0, float(expected.abs().max()) if expected.numel() else 0.0)
            differs = bool(((value - expected).abs() > bound).any())
        if differs:
            return f"its {name} would be another beside the others"
    return ""
