"""Timings of variants against each other, as `ablate timing` left them in the study's folder."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ablate.config.identity import fingerprint
from ablate.files import PlainMapping
from ablate.records.study_directory import TIMING, read_study_file, read_study_files


@dataclass(frozen=True)
class Timing:
    """Variants timed in turns."""

    file: str  # its name
    seconds: Mapping[str, Mapping[str, NDArray[np.float64]]]  # an epoch's by variant and part, shape (rounds,)
    layers: Mapping[str, Mapping[str, float]]  # seconds of a training step by variant and layer, if measured
    place: str  # the machine, the device and the threads, in words
    disturbed: int  # rounds that do not count

    def pair(self, first: str, second: str, metric: str) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """Returns the times of two variants, round by round, if both were timed."""
        found = [self.seconds.get(label, {}).get(metric) for label in (first, second)]
        return None if found[0] is None or found[1] is None else (found[0], found[1])


def read_timings(folder: Path, configs: Mapping[str, PlainMapping], broken: dict[str, str]) -> list[Timing]:
    """Returns a study's timings, the newest first; what cannot be read goes to `broken`.

    Args:
        folder: The study's.
        configs: The configuration of a run of each variant, by label.
        broken: What is wrong, by file.
    """
    labels = {_timed(config): label for label, config in configs.items()}
    return [timing for timing in read_study_files(folder, TIMING, partial(_read, labels), broken) if timing.seconds]


def _read(labels: Mapping[str, str], path: Path) -> Timing:
    timing = read_study_file(path)
    variants = {labels[key]: variant for variant in timing["variants"] if (key := _timed(variant["config"])) in labels}
    seconds = {
        label: {str(part): _times(values) for part, values in variant["seconds"].items()}
        for label, variant in variants.items()
    }
    lengths = {len(values) for parts in seconds.values() for values in parts.values()}
    if len(lengths) > 1:
        raise ValueError("its variants have different numbers of rounds")
    provenance = timing["provenance"]
    return Timing(
        file=path.name,
        seconds=seconds,
        layers={
            label: {str(layer["layer"]): float(layer["forward"]) + float(layer["backward"]) for layer in layers}
            for label, variant in variants.items()
            if (layers := variant.get("layers"))
        },
        place=f"{provenance['machine']['cpu']}, {provenance['accelerator']}, threads {provenance['threads']}",
        disturbed=int(timing["disturbed"]),
    )


def _times(values: Sequence[str | float]) -> NDArray[np.float64]:
    times = np.array([float(value) for value in values])
    if len(times) < 2 or not all(math.isfinite(value) and value > 0 for value in times):
        raise ValueError("a time is not a number above 0, or there are fewer than two")
    return times


def _timed(config: PlainMapping) -> str:
    """Returns what the time of a step depends on, the machine aside."""
    if "model" not in config:
        raise ValueError("the configuration of a variant has no model")
    return fingerprint(config, lambda meaning: meaning.clock)
