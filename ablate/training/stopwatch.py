"""Times variants against each other: in one process, in turns, in random order."""

import itertools
import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from ablate.stats import Ratio, ratio
from ablate.training.loop import Training, now

WARM_UP_ROUNDS = 3
FIRST_LOOK = 16  # rounds after which the intervals are looked at; then after every doubling
_STEPS, _EVALUATIONS = 10, 2  # batches of a round: trained on, and then tested on
_LAST_EPOCH = 10**9
_QUIET = 1.05  # of the probes' lowest fifth: what a probe may take for its round to count


class Stopwatch:
    """Times one variant, on the first batches of an epoch again and again."""

    def __init__(self, training: Training) -> None:
        self.training, self.step = training, training.step
        (self._all,) = training.batches
        self._evaluations = sum(map(len, training.evaluated.values()))  # batches of an epoch, of all splits
        images, labels = self._all.epoch(0)
        size = self._all.batch_size
        whole = zip(images.split(size), labels.split(size), strict=True)  # but for the last, which may be smaller
        self.batches = [
            ([pixels.clone()], [target.clone()])
            for pixels, target in itertools.islice(whole, min(len(labels) // size, _STEPS))
        ]
        self._test = [pixels for pixels, _ in itertools.islice(training.evaluated["test"], _EVALUATIONS)]

    def train(self) -> float:
        """Returns the seconds of a training step: the median of a round's."""
        self.step.cohort.train(True)
        with self.step.cohort.noise(0):
            calls = [partial(self.train_on, number) for number in range(len(self.batches))]
            return statistics.median(_seconds(calls, self.step.cohort.device))

    def train_on(self, number: int) -> None:
        """Makes a training step on one of the batches."""
        self.step(*self.training.augmented(*self.batches[number], 0, number))

    def average(self) -> float:
        """Returns the seconds at the end of an epoch whose weights are taken into an average."""
        images = torch.cat([pixels for (pixels,), _ in self.batches])
        (seconds,) = _seconds([lambda: self.training.average(_LAST_EPOCH, [images])], self.step.cohort.device)
        return seconds * len(self._all) / len(self.batches)

    def evaluate(self) -> float:
        """Returns the seconds of a batch of the test: the median of a round's."""
        cohort = self.step.cohort
        cohort.train(False)
        with torch.inference_mode(), self.step.autocast:
            calls = [lambda pixels=pixels: cohort.forward([self.step.normalise(pixels)]) for pixels in self._test]
            return statistics.median(_seconds(calls, cohort.device))

    def data(self) -> float:
        """Returns the seconds of an epoch's shuffling, cropping and mirroring, which no variant changes."""
        (seconds,) = _seconds([lambda: self._all.epoch(1)], self.step.cohort.device)
        return seconds

    def epoch(self, data: float) -> dict[str, float]:
        """Times a round, and returns the seconds of a whole epoch by part, as a run's record names them."""
        parts = {
            "train_seconds": self.train() * len(self._all) + self.average(),
            "eval_seconds": self.evaluate() * self._evaluations,
        }
        return {**parts, "total_seconds": sum(parts.values()) + data}


@dataclass(frozen=True)
class Timings:
    """Seconds an epoch, by variant and part, for every round that counts."""

    seconds: Mapping[str, Mapping[str, list[float]]]  # shape (rounds,): `seconds[variant]["train_seconds"]`
    disturbed: int  # rounds that do not count, because something else slowed the machine down

    @property
    def rounds(self) -> int:
        """How many count."""
        return len(next(iter(self.seconds.values()))["total_seconds"])

    def ratio(self, variant: str, baseline: str, part: str = "total_seconds") -> Ratio:
        """Returns a variant's time over the baseline's."""
        return ratio(self.seconds[variant][part], self.seconds[baseline][part])

    def precision(self, baseline: str) -> float:
        """Returns half the width of the widest interval of training and total time against a baseline."""
        others = [name for name in self.seconds if name != baseline]
        parts = ("train_seconds", "total_seconds")
        return max((self.ratio(name, baseline, part).precision for name in others for part in parts), default=0.0)


def measure(
    variants: Mapping[str, Stopwatch],
    baseline: str,
    precision: float,
    most_rounds: int,
    on_round: Callable[[], object],
) -> Timings:
    """Times variants in rounds, in each of which every variant has its turn, in random order.

    A change of the machine's speed meets all variants of a round, and much of it cancels in their ratio. Not all: what
    waits for memory slows down more than what computes. So every round has a probe, a turn of the baseline that enters
    no ratio, and where that took over 5 % longer than the fastest fifth of the probes, the round does not count. The
    last round is that after which half the width of the 95 % intervals of all ratios is at most `precision`, 0.01 being
    a percent.
    """
    order = random.Random(0)
    data = statistics.median(variants[baseline].data() for _ in range(3))
    rounds: list[dict[str, dict[str, float]]] = []
    probes: list[float] = []
    look = FIRST_LOOK
    for number in range(-WARM_UP_ROUNDS, most_rounds):
        turns: list[str | None] = [None, *variants]  # None is the probe's
        order.shuffle(turns)
        seconds = {turn: variants[turn or baseline].epoch(data) for turn in turns}
        if number < 0:
            continue
        probes.append(seconds.pop(None)["total_seconds"])
        rounds.append({str(name): parts for name, parts in seconds.items()})
        on_round()
        if len(rounds) == look:
            if _timings(rounds, probes).precision(baseline) <= precision:
                break
            look *= 2
    return _timings(rounds, probes)


def _timings(rounds: Sequence[Mapping[str, Mapping[str, float]]], probes: Sequence[float]) -> Timings:
    least = _QUIET * np.quantile(probes, 0.1)  # the median of the lowest fifth
    quiet = [each for each, probe in zip(rounds, probes, strict=True) if probe <= least]
    if len(quiet) < 2:
        quiet = list(rounds)
    seconds = {
        name: {part: [each[name][part] for each in quiet] for part in parts} for name, parts in rounds[0].items()
    }
    return Timings(seconds, len(rounds) - len(quiet))


def _seconds(calls: Sequence[Callable[[], object]], device: torch.device) -> list[float]:
    """Returns the seconds of each call; on a CUDA GPU the device's own, without waiting between them."""
    if device.type == "cuda":
        marks = [torch.cuda.Event(enable_timing=True) for _ in range(len(calls) + 1)]
        marks[0].record()
        for call, mark in zip(calls, marks[1:], strict=True):
            call()
            mark.record()
        torch.cuda.synchronize(device)
        return [marks[n].elapsed_time(marks[n + 1]) / 1000 for n in range(len(calls))]
    seconds = []
    for call in calls:
        start = now(device)
        call()
        seconds.append(now(device) - start)
    return seconds
