"""`ablate timing model=plain,dropout`: what the layers of variants cost in time, measured for that purpose.

A run's own clock has the machine's moods in it; here the variants take turns in one process, see `training/timing.py`.
"""

import argparse
import json
import os
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.config.plain import plain as plain_config
from ablate.config.schema import Config
from ablate.files import Plain, PlainMapping
from ablate.messages import say
from ablate.records import provenance
from ablate.records.forms import plain
from ablate.records.record import now
from ablate.records.study_directory import TIMING, StudyDirectory
from ablate.sweeps.jobs import variants_of

if TYPE_CHECKING:
    from ablate.runs.prepare import Prepared
    from ablate.training.stopwatch import Stopwatch

_PROFILED_STEPS = 20  # of each variant, for the times of its layers


def time_variants(variants: Mapping[str, Config], precision: float, rounds: int, profiled: bool) -> Plain:
    """Times variants, and returns what is written into the study's folder.

    Args:
        variants: Configurations by name; of hardware and study they have the same.
        precision: Half the width of the 95 % intervals to stop at, 0.01 being a percent.
        rounds: The most.
        profiled: Whether to time their layers too.
    """
    from tqdm import tqdm

    from ablate.runs.other_runs import counting_other_runs
    from ablate.runs.prepare import prepare
    from ablate.training.hardware import configured, describe
    from ablate.training.stopwatch import measure

    first = next(iter(variants.values()))
    baseline = first.study.baseline if first.study.baseline in variants else next(iter(variants))
    started = now()
    with configured(first.hardware), counting_other_runs() as other_runs:
        here: Plain = plain(provenance.process(other_runs=other_runs()))
        runs = {name: prepare(cfg) for name, cfg in variants.items()}
        watches = _stopwatches(variants, runs)
        with tqdm(total=rounds, desc="timing", unit="round", disable=None) as bar:
            timings = measure(watches, baseline, precision, rounds, bar.update)
        layers = {
            name: _layer_times(cfg, runs[name], watches[name]) if profiled else [] for name, cfg in variants.items()
        }
        here["other_runs_at_end"] = other_runs()
        came_from = describe(provenance.collect(first.allow), runs[baseline].device)
    return {
        "started": started,
        "ended": now(),
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
                # Over the baseline's times, by part: the estimate, and both ends of its interval.
                "ratio": None
                if name == baseline
                else {part: astuple(timings.ratio(name, baseline, part)) for part in timings.seconds[name]},
                "layers": layers[name],
            }
            for name, cfg in variants.items()
        ],
    }


def _stopwatches(variants: Mapping[str, Config], runs: "Mapping[str, Prepared]") -> "dict[str, Stopwatch]":
    """Returns what times each variant; those that train on the same batches share them in memory."""
    from ablate.runs.prepare import assemble
    from ablate.training.loop import Training
    from ablate.training.stopwatch import Stopwatch

    first: dict[str, Training] = {}
    watches = {}
    for name, cfg in variants.items():
        training = assemble(cfg, [runs[name]], [cfg.seed])
        shared = first.setdefault(json.dumps([plain_config(cfg.data), cfg.train.batch_size, cfg.seed]), training)
        watches[name] = Stopwatch(replace(training, batches=shared.batches, evaluated=shared.evaluated))
    return watches


def _layer_times(cfg: Config, run: "Prepared", watch: "Stopwatch") -> list[Plain]:
    """Returns the times of a variant's layers in seconds a step, as they are written."""
    from ablate.runs.prepare import make_step
    from ablate.training.layer_times import time_layers

    step = make_step(cfg, [run], [cfg.seed], graph=False)
    step.cohort.train(True)
    with step.cohort.noise(0):
        times = time_layers(run.trainee.model, partial(step, *watch.batches[0]), _PROFILED_STEPS)
    return [asdict(time) for time in times]


def pin(threads: int | None) -> None:
    """Binds threads to a core each, of so many or all, where the system can; before torch is imported."""
    os.environ.setdefault("OMP_PROC_BIND", "true")
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores[: threads or len(cores)])


def show(timing: PlainMapping) -> str:
    """Returns a timing as tables for people."""
    machine, variants, baseline = timing["provenance"]["machine"], timing["variants"], timing["baseline"]
    rows = [["seconds an epoch", "training", "test", "with data"]]
    for part in ("total", "training"):
        rows[0] += [f"{part} / {baseline}", "95 % interval"]
    for variant in variants:
        parts = ("train_seconds", "eval_seconds", "total_seconds")
        rows.append([variant["name"], *(f"{statistics.median(variant['seconds'][part]):.3f}" for part in parts)])
        for part in ("total_seconds", "train_seconds"):
            if variant["ratio"] is None:
                rows[-1] += ["1", "–"]
            else:
                estimate, low, high = variant["ratio"][part]
                rows[-1] += [f"{estimate:.3f}", f"{low:.3f} to {high:.3f}"]
    lines = [
        f"{timing['rounds']} rounds on {timing['provenance']['accelerator']} with {timing['provenance']['threads']} "
        f"threads ({machine['cpu']}), {timing['disturbed']} more left out as disturbed",
        "",
        *_table(rows),
    ]
    layers = [{layer["layer"]: layer for layer in variant["layers"]} for variant in variants]
    if any(layers):
        rows = [["layer", *(variant["name"] for variant in variants)]]
        for name in dict.fromkeys(name for times in layers for name in times):
            found = [times.get(name) for times in layers]
            rows.append([name, *(_milliseconds(time) if time else "" for time in found)])
        lines += ["", "Layers, forward + backward, milliseconds a training step, the profiler's own cost included:", ""]
        lines += _table(rows)
    return "\n".join(lines)


def _milliseconds(time: PlainMapping) -> str:
    return f"{1000 * time['forward']:.2f} + {1000 * time['backward']:.2f}"


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Returns the lines of a Markdown table, the columns' names first."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return [lines[0], f"|{' --- |' * len(rows[0])}", *lines[1:]]


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
    timing = time_variants(variants, options.precision, options.rounds, not options.no_layers)
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
