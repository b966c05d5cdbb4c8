"""The timing of variants, on clocks of known costs; what real clocks say is in `benchmarks/timing.py`."""

import random
import time
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from ablate.stats import Ratio, ratio
from ablate.training.layer_times import time_layers
from ablate.training.stopwatch import FIRST_LOOK, measure


class Simulated:
    """A stopwatch of a variant with a known cost, on a machine with noise and with slow spells."""

    def __init__(self, cost: float, machine: "Machine", waits_for_memory: float = 1.0) -> None:
        self.cost, self.machine, self.waits = cost, machine, waits_for_memory

    def data(self) -> float:
        return 0.5

    def epoch(self, data: float) -> dict[str, float]:
        slow = self.machine.slowness() ** self.waits
        train = self.cost * slow * self.machine.noise()
        return {"train_seconds": train, "eval_seconds": 0.1 * slow, "total_seconds": train + 0.1 * slow + data}


class Machine:
    def __init__(self, sd: float, seed: int = 0, slow: range = range(0)) -> None:
        self.random, self.sd, self.slow, self.turns = random.Random(seed), sd, slow, 0

    def noise(self) -> float:
        return float(np.exp(self.random.gauss(0, self.sd)))

    def slowness(self) -> float:
        self.turns += 1
        return 1.3 if self.turns in self.slow else 1.0


def timed(machine: Machine, costs: dict[str, float], precision: float, rounds: int = 1000, **waits: float) -> Any:
    variants: dict[str, Any] = {name: Simulated(cost, machine, waits.get(name, 1.0)) for name, cost in costs.items()}
    return measure(variants, "plain", precision, rounds, lambda: None)


def test_a_ratio_is_that_of_the_geometric_means_with_the_t_interval_of_the_logarithms() -> None:
    first, second = [2.0, 2.2, 1.9, 2.4], [1.0, 1.05, 0.9, 1.1]
    logs = np.log(first) - np.log(second)
    interval = stats.ttest_1samp(logs, 0).confidence_interval(0.95)
    found = ratio(first, second)
    assert found.estimate == pytest.approx(np.exp(logs.mean()))
    assert (found.low, found.high) == pytest.approx((np.exp(interval.low), np.exp(interval.high)))
    assert Ratio(1.0, 0.99, 1.01).precision == pytest.approx(0.01, rel=1e-3)


def test_known_costs_come_out_and_a_difference_of_nothing_is_none() -> None:
    """Over 40 machines, a 95 % interval misses what is true about twice."""
    missed = {"same": 0, "costly": 0}
    for seed in range(40):
        timings = timed(Machine(0.03, seed), {"plain": 4.0, "same": 4.0, "costly": 4.04}, 0.005)
        assert timings.precision("plain") <= 0.005
        for name, true in (("same", 1.0), ("costly", 1.01)):
            found = timings.ratio(name, "plain", "train_seconds")
            missed[name] += not found.low <= true <= found.high
    assert max(missed.values()) <= 6  # more has a chance of 1 in 100


def test_rounds_end_with_the_precision_asked_for_or_with_the_last() -> None:
    assert timed(Machine(0.001), {"plain": 1.0, "same": 1.0}, 0.01).rounds <= FIRST_LOOK
    timings = timed(Machine(0.2), {"plain": 1.0, "same": 1.0}, 0.001, rounds=50)
    assert timings.rounds + timings.disturbed == 50
    assert timings.precision("plain") > 0.001


def test_rounds_in_which_the_machine_was_slow_do_not_count() -> None:
    """A slow spell that one variant feels more than the other would shift their ratio."""
    turns = 3  # of a round: the probe's and two variants'
    spell = range(turns * 20, turns * 35)
    timings = timed(Machine(0.002, slow=spell), {"plain": 1.0, "memory": 1.5}, 1e-9, rounds=64, memory=3.0)
    assert timings.disturbed >= 15
    found = timings.ratio("memory", "plain", "train_seconds")
    assert found.estimate == pytest.approx(1.5, rel=2e-3)


class Sleep(torch.autograd.Function):
    """Changes nothing, and takes its time for it in both directions."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        time.sleep(0.05)
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        time.sleep(0.1)
        return gradient


class Slow(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return Sleep.apply(x)  # type: ignore[no-any-return]


def test_layers_get_their_forward_and_backward_time() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(600, 600), Slow(), nn.Linear(600, 2))
    x = torch.randn(2, 600)

    took = []

    def step() -> None:
        start = time.perf_counter()
        model(x).square().mean().backward()
        took.append(time.perf_counter() - start)

    step()
    times = {time.layer: time for time in time_layers(model, step, 3)}
    assert list(times) == ["0", "1", "2", "3"]
    assert [times[name].kind for name in times] == ["Flatten", "Linear", "Slow", "Linear"]
    # A sleep is never shorter than asked for, and no layer has another's: a step has no time for it twice.
    assert times["2"].forward >= 0.05 and times["1"].forward > 0
    assert times["2"].backward >= 0.1 and times["1"].backward > 0
    assert sum(layer.forward + layer.backward for layer in times.values()) <= max(took)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model)
