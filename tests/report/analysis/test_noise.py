"""Where the noise is: runs whose noise is known, seed by seed, epoch by epoch, image by image."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_comparisons import study

from ablate.report.analysis.noise import noise_table, statistics_table
from ablate.report.study.collect import collect
from ablate.report.study.study import Study
from ablate.stats import seeds_needed


def noisy(of_seed: float, of_epoch: float, seeds: int = 60, epochs: int = 30) -> Study:
    """Runs of two variants on a rising line, with noise over seeds and from epoch to epoch."""
    rng = np.random.default_rng(0)
    line = np.linspace(0.4, 0.6, epochs)
    curves = {
        (name, seed): line + shift + rng.normal(0, of_seed) + rng.normal(0, of_epoch, epochs)
        for name, shift in (("plain", 0.0), ("bn", 0.05))
        for seed in range(seeds)
    }
    runs = study(**{name: [float(curves[name, seed][-1]) for seed in range(seeds)] for name in ("plain", "bn")})
    of_last = {key: float(curve[-5:].mean()) for key, curve in curves.items()}
    runs.runs["test_accuracy.last5"] = [
        of_last[name, seed] for name, seed in zip(runs.runs["variant"], runs.runs["seed"], strict=True)
    ]
    rows = [
        {"run": f"{name}/seed{seed}", "variant": name, "seed": seed, "epoch": number + 1, "test_accuracy": value}
        for (name, seed), curve in curves.items()
        for number, value in enumerate(curve)
    ]
    return Study(runs.definition, runs.runs, pd.DataFrame(rows), runs.variants)


@pytest.mark.parametrize(("of_seed", "of_epoch"), [(0.02, 0.005), (0.002, 0.01), (0.0, 0.01)])
def test_each_source_of_noise_is_found_at_its_size(of_seed: float, of_epoch: float) -> None:
    found = noise_table(noisy(of_seed, of_epoch), "test_accuracy").set_index("variant")
    assert found["epochs"].to_numpy() == pytest.approx(of_epoch, rel=0.2)  # the rise of the line is no noise
    assert found["seeds"].to_numpy() == pytest.approx(math.hypot(of_seed, of_epoch), rel=0.25)
    assert found["images"].isna().all()  # how many images there were, these runs do not say


def test_a_mean_over_epochs_needs_fewer_seeds_where_the_noise_is_of_epochs() -> None:
    table = statistics_table(noisy(0.0, 0.05), "test_accuracy").set_index("metric")
    final, last = table.loc["test_accuracy"], table.loc["test_accuracy.last5"]
    assert last["sd"] == pytest.approx(final["sd"] / math.sqrt(5), rel=0.25)
    assert last["needed"] < final["needed"]
    runs = noisy(0.0, 0.05)
    differences = runs.values("bn", "test_accuracy") - runs.values("plain", "test_accuracy")
    assert final["needed"] == seeds_needed(differences)
    assert final["sd"] == pytest.approx(differences.std())


def test_the_noise_of_test_images_is_binomial(make_run: Callable[..., Path], tmp_path: Path) -> None:
    for seed in range(2):
        make_run("plain", seed)
    found = collect(tmp_path / "trial")
    images = {record.data.images["test"] for record in found.records.values() if record.data is not None}
    share = found.values("plain", "test_accuracy").mean()
    expected = math.sqrt(share * (1 - share) / images.pop())
    assert noise_table(found, "test_accuracy")["images"].item() == pytest.approx(expected)


def test_without_epochs_there_is_nothing_to_say() -> None:
    runs = study(plain=[0.5, 0.6], bn=[0.6, 0.7])
    assert noise_table(runs, "test_accuracy").empty and statistics_table(runs, "test_accuracy").empty
