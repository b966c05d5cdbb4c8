"""`ablate timing model=plain,dropout`: what the layers of variants cost in time, measured for that purpose.

A run's own clock has the machine's moods in it; here the variants take turns in one process, see `training/timing.py`.
"""

import argparse
import json
import os
import statistics
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.config.plain import plain as plain_config
from ablate.config.schema import Config
from ablate.files import Plain, PlainMapping
from ablate.messages import say
from ablate.records import provenance
from ablate.records.forms import plain
from ablate.records.study_directory import TIMING, StudyDirectory
from ablate.sweeps.jobs import variants_of

if TYPE_CHECKING:
    from ablate.runs.prepare import Prepared
    from ablate.training.stopwatch import Stopwatch, Timings


def time_variants(variants: Mapping[str, Config], precision: float, rounds: int, profiled_steps: int = 20) -> Plain:
    """Times variants, and returns what is written into the study's folder.

    Args:
        variants: Configurations by name; of hardware and study they have the same.
        precision: Half the width of the 95 % intervals to stop at, 0.01 being a percent.
        rounds: The most.
        profiled_steps: Of each variant, for the times of its layers; 0 leaves them out.

    Raises:
        ValueError: A configuration is refused.
    """
    from tqdm import tqdm

    from ablate.runs.other_runs import counting_other_runs
    from ablate.runs.prepare import prepare
    from ablate.training.hardware import configured, describe
    from ablate.training.stopwatch import measure

    first = next(iter(variants.values()))
    baseline = first.study.baseline if first.study.baseline in variants else next(iter(variants))
    started = datetime.now(UTC).isoformat(timespec="seconds")
    with configured(first.hardware), counting_other_runs() as other_runs:
        here: Plain = plain(provenance.process(other_runs=other_runs()))
        runs = {name: prepare(cfg) for name, cfg in variants.items()}
        watches = _stopwatches(variants, runs)
        with tqdm(total=rounds, desc="timing", unit="round", disable=None) as bar:
            timings = measure(watches, baseline, precision, rounds, bar.update)
        layers = {
            name: _layer_times(cfg, runs[name], watches[name], profiled_steps) if profiled_steps else []
            for name, cfg in variants.items()
        }
        here["other_runs_at_end"] = other_runs()
        came_from = describe(provenance.collect(first.allow), runs[baseline].device)
    return {
        "started": started,
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        "study": first.study.name,
        "baseline": baseline,
        "rounds": timings.rounds,
        "disturbed": timings.disturbed,
        "precision": {"asked": precision, "reached": timings.precision(baseline)},
        "process": here,
        "provenance": plain(came_from),
        "variants": [
            {
                "name": name,
                "config": plain_config(cfg),
                "seconds": timings.seconds[name],
                "ratio": None if name == baseline else _ratios(timings, name, baseline),
                "layers": layers[name],
            }
            for name, cfg in variants.items()
        ],
    }


def _stopwatches(variants: Mapping[str, Config], runs: "Mapping[str, Prepared]") -> "dict[str, Stopwatch]":
    """Returns what times each variant; those that train on the same batches share them in memory."""
    from ablate.data.batches import EvaluationBatches, TrainingBatches
    from ablate.runs.prepare import make_step
    from ablate.training.stopwatch import Stopwatch

    images: dict[str, tuple[TrainingBatches, dict[str, EvaluationBatches]]] = {}
    watches = {}
    for name, cfg in variants.items():
        data, device = runs[name].data, runs[name].device
        shared = json.dumps([plain_config(cfg.data), cfg.train.batch_size, cfg.seed])
        if shared not in images:
            images[shared] = (
                TrainingBatches(data.train, cfg.train.batch_size, cfg.data.padding, cfg.data.flip, cfg.seed, device),
                {split: EvaluationBatches(part, device) for split, part in data.evaluated.items()},
            )
        batches, evaluated = images[shared]
        step = make_step(cfg, [runs[name]], [cfg.seed])
        watches[name] = Stopwatch(step, batches, evaluated["test"], sum(map(len, evaluated.values())))
    return watches


def _layer_times(cfg: Config, run: "Prepared", watch: "Stopwatch", steps: int) -> list[Plain]:
    """Returns the times of a variant's layers in seconds a step, as they are written."""
    from ablate.runs.prepare import make_step
    from ablate.training.layer_times import time_layers

    step = make_step(cfg, [run], [cfg.seed], graph=False)
    step.cohort.train(True)
    with step.cohort.noise(0):
        times = time_layers(run.trainee.model, partial(step, *watch.batches[0]), steps)
    return [
        {"layer": time.name, "kind": time.kind, "forward": time.forward, "backward": time.backward} for time in times
    ]


def _ratios(timings: "Timings", name: str, baseline: str) -> dict[str, list[float]]:
    """Returns a variant's times over the baseline's, by part: the estimate, and both ends of its interval."""
    ratios = {part: timings.ratio(name, baseline, part) for part in timings.seconds[name]}
    return {part: [ratio.estimate, ratio.low, ratio.high] for part, ratio in ratios.items()}


def pin(threads: int | None) -> None:
    """Binds this process's threads to a core each, where the system can; before torch is imported.

    Args:
        threads: How many cores to keep to; all that the process may use if None.
    """
    os.environ.setdefault("OMP_PROC_BIND", "true")
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores[: threads or len(cores)])


def show(timing: PlainMapping) -> str:
    """Returns a timing as tables for people."""
    machine, variants = timing["provenance"]["machine"], timing["variants"]
    lines = [
        f"{timing['rounds']} rounds on {timing['provenance']['accelerator']} with {timing['provenance']['threads']} "
        f"threads ({machine['cpu']}), {timing['disturbed']} more left out as disturbed",
        "",
        f"| seconds an epoch | training | test | with data | total / {timing['baseline']} | 95 % interval | training / "
        f"{timing['baseline']} | 95 % interval |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for variant in variants:
        parts = ("train_seconds", "eval_seconds", "total_seconds")
        seconds = [f"{statistics.median(variant['seconds'][part]):.3f}" for part in parts]
        ratios = ["1", "–", "1", "–"]
        if variant["ratio"] is not None:
            (one, *bounds), (other, *others) = (variant["ratio"][part] for part in ("total_seconds", "train_seconds"))
            ratios = [
                f"{one:.3f}",
                "{:.3f} to {:.3f}".format(*bounds),
                f"{other:.3f}",
                "{:.3f} to {:.3f}".format(*others),
            ]
        lines.append(f"| {' | '.join([variant['name'], *seconds, *ratios])} |")
    names = dict.fromkeys(layer["layer"] for variant in variants for layer in variant["layers"])
    if names:
        lines += [
            "",
            "Layers, forward + backward, milliseconds a training step, the profiler's own cost included:",
            "",
            f"| layer | {' | '.join(variant['name'] for variant in variants)} |",
            f"| --- |{' --- |' * len(variants)}",
        ]
        for name in names:
            cells = [
                next((f"{1000 * layer['forward']:.2f} + {1000 * layer['backward']:.2f}" for layer in variant["layers"]
                      if layer["layer"] == name), "")
                for variant in variants
            ]  # fmt: skip
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Times variants; returns 0, or 1 where the asked precision was not reached."""
    parser = argparse.ArgumentParser(
        prog="ablate timing", description=(__doc__ or "").partition(": ")[2].partition("\n")[0]
    )
    parser.add_argument("overrides", nargs="*", help="as of a sweep: model=plain,dropout; the study's own if none")
    parser.add_argument("--precision", type=float, default=0.005, metavar="SHARE",
                        help="stop when all 95 %% intervals are ± this share (default: 0.005)")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=400, help="stop after so many at the latest (default: 400)")
    parser.add_argument("--no-layers", action="store_true", help="leave out the times of the layers")
    parser.add_argument("--config-dir", type=Path, help="a folder with config groups of your own")
    options = parser.parse_args(arguments)
    if options.rounds < 2 or not options.precision > 0:
        parser.error("--rounds must be 2 or more, and --precision above 0")
    variants, study = variants_of(options.overrides, options.config_dir)
    if len(variants) < 2:
        raise ValueError("there is one variant, and nothing to compare; name several: model=plain,dropout")
    hardware = {json.dumps(plain_config(cfg.hardware), sort_keys=True) for cfg in variants.values()}
    if len(hardware) > 1:
        raise ValueError("the variants differ in hardware; time them with one setting after another")
    pin(next(iter(variants.values())).hardware.threads)
    timing = time_variants(variants, options.precision, options.rounds, 0 if options.no_layers else 20)
    say(show(timing))
    file = StudyDirectory(study).write(TIMING, timing["started"], timing)
    say(f"\nWritten to {file}; the report of {study} prefers it for times.")
    reached = timing["precision"]["reached"]
    if reached > options.precision:
        say(
            f"The intervals are ± {reached:.2%}, wider than the {options.precision:.2%} asked for; more --rounds, "
            "hardware.threads=1, or a machine with nothing else to do, narrow them.",
            file=sys.stderr,
        )
        return 1
    return 0
