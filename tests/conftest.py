import copy
import functools
import gc
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from undrawn import undraw
from warm import ROOT, Server

from ablate.config.compose import compose as compose_config
from ablate.config.schema import Config
from ablate.data import digits
from ablate.data.cifar10_sources import Arrays
from ablate.data.images import ImageData, Split
from ablate.runs.job import Job
from ablate.runs.progress import Progress
from ablate.runs.run import run


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the files of the longest tests first, so that none of them is waited for at the end."""
    items.sort(key=lambda item: item.path.name not in ("test_wheel.py", "test_faults.py"))


def pytest_collection_finish() -> None:
    """What is imported stays: no collection need go through it."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """At the end all goes."""
    gc.unfreeze()


composed = functools.cache(compose_config)  # which takes Hydra a third of a second


@pytest.fixture(scope="session")
def compose() -> Callable[..., Config]:
    """Composes a configuration from overrides, as a job gets it."""
    return lambda *overrides: copy.deepcopy(composed(overrides))


@pytest.fixture(scope="session")
def quick(compose: Callable[..., Config]) -> Callable[..., Config]:
    """Composes a run of a second: 300 digits, two epochs."""
    return lambda *overrides: compose(
        "study=demo", "data.subset=30", "train.epochs=2", "train.batch_size=64", "hardware=cpu", *overrides
    )


@pytest.fixture
def train_one(quick: Callable[..., Config], tmp_path: Path) -> Callable[..., Path]:
    """Trains a quick run and returns its folder."""

    def train(*overrides: str, folder: str = "run") -> Path:
        path = tmp_path / folder
        path.mkdir(parents=True, exist_ok=True)
        run(Job(quick(*overrides), path), Progress())
        return path

    return train


@pytest.fixture(scope="session")
def digits_data() -> ImageData:
    return digits.load()


@pytest.fixture
def tiny_data() -> ImageData:
    """Twelve random images of three classes."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (12, 3, 8, 8), generator=generator, dtype=torch.uint8)
    labels = torch.arange(12) % 3
    return ImageData(
        name="tiny",
        train=Split(images, labels),
        test=Split(images[:6], labels[:6]),
        classes=("a", "b", "c"),
        mean=(0.5, 0.4, 0.3),
        std=(0.2, 0.3, 0.4),
    )


@pytest.fixture(scope="session")
def warm() -> Iterator[Server]:
    """Starts commands in forks of a process that has imported torch, once for all tests."""
    with Server() as server:
        yield server


@pytest.fixture
def ablate(warm: Server, tmp_path: Path) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Runs `python -m ablate` in an empty folder of its own.

    `fresh` is for a process that has imported nothing yet. Reports of the others are undrawn.
    """

    def call(*arguments: str, fresh: bool = False, **env: str) -> "subprocess.CompletedProcess[str]":
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **env}
        if not fresh:
            return warm.run("ablate", *arguments, cwd=tmp_path, env={**environment, "UNDRAWN": "1"})
        command = [sys.executable, "-m", "ablate", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    return call


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports name their figures and draw none, which takes seconds: for tests that look at what is written alone."""
    undraw(monkeypatch.setattr)


@pytest.fixture(autouse=True)
def keep_logging() -> Iterator[None]:
    """Hydra configures the root logger; what a test does to it ends with the test."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    for handler in root.handlers[:]:
        if handler not in handlers:
            root.removeHandler(handler)
            handler.close()
    for handler in handlers:
        if handler not in root.handlers:
            root.addHandler(handler)
    root.setLevel(level)


@pytest.fixture(scope="session")
def real_cifar10() -> Arrays:
    """CIFAR-10 itself, from the user's cache or the first source that can be reached."""
    from ablate.data import cifar10

    try:
        return cifar10.from_cache()
    except ValueError as error:
        pytest.skip(str(error))
