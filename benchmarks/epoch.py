"""Times an epoch of training and testing LeNet-5 on CIFAR-10 against the usual pipeline, measured in the same run.

The usual pipeline is torchvision's CIFAR10 with PIL transforms, a DataLoader at its best worker count, an eager loop.
Both train the same model with the same optimizer, batch size and augmentation, and test it once. They take turns, after
an epoch each that is not counted.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import hydra
import numpy as np
import torch
import torchvision
from omegaconf import DictConfig
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import CIFAR10

from ablate import config, provenance
from ablate.data import cifar10
from ablate.hardware import configured
from ablate.models.lenet import lenet5
from ablate.options import config_dir
from ablate.preparation import assemble, prepare
from ablate.training.loop import fit


class InMemory(CIFAR10):
    """torchvision's CIFAR10, its arrays taken from our cache instead of the official archive."""

    def __init__(self, train: bool, transform: Callable) -> None:
        super(CIFAR10, self).__init__("", transform=transform)
        arrays, part = cifar10.from_cache(), "train" if train else "test"
        self.data = np.ascontiguousarray(arrays[f"{part}_images"].transpose(0, 2, 3, 1))
        self.targets = arrays[f"{part}_labels"].astype(int).tolist()

    def __len__(self) -> int:
        return len(self.data)


def usual_epochs(workers: int, device: torch.device) -> Iterator[None]:
    """Trains and tests an epoch for each item taken."""
    to_input = [transforms.ToTensor(), transforms.Normalize(cifar10.MEAN, cifar10.STD)]
    augment = transforms.Compose([transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip(), *to_input])
    options = {"num_workers": workers, "persistent_workers": workers > 0, "pin_memory": device.type == "cuda"}
    training = DataLoader(InMemory(True, augment), 128, shuffle=True, **options)
    testing = DataLoader(InMemory(False, transforms.Compose(to_input)), 128, **options)
    model: nn.Module = lenet5().to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=5e-3)
    while True:
        model.train()
        total = 0.0
        for images, labels in training:
            images, labels = images.to(device), labels.to(device)
            loss = functional.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        model.eval()
        right = 0
        with torch.no_grad():
            for images, labels in testing:
                right += (model(images.to(device)).argmax(1) == labels.to(device)).sum().item()
        yield


def our_epochs(cfg: DictConfig, device: torch.device) -> Iterator[None]:
    """Trains and tests an epoch for each item taken, without writing records."""
    training = assemble(cfg, [prepare(cfg)], [cfg.seed])
    for _ in fit(training, range(10**6), lambda: None):
        yield


def seconds(epochs: Iterator[None], device: torch.device) -> float:
    start = time.perf_counter()
    next(epochs)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5, help="counted epochs of each (default: 5)")
    parser.add_argument("overrides", nargs="*", help="Hydra overrides of ours, such as hardware=cuda")
    options = parser.parse_args()

    config.register()
    with hydra.initialize_config_dir(str(config_dir()), version_base="1.3"):
        cfg = hydra.compose("config", options.overrides)
    machine = provenance.machine()
    with ExitStack() as stack:
        device = stack.enter_context(configured(cfg.hardware))
        name = torch.cuda.get_device_name() if device.type == "cuda" else device.type
        print(f"{machine['cpu']}, {machine['cores']} cores; on {name} with {torch.get_num_threads()} threads")
        print(f"torch {torch.__version__}, torchvision {torchvision.__version__}, {cfg.hardware.precision}")

        counts = sorted({0, 1, 2, min(os.cpu_count() or 1, 8)})
        loaders = {count: usual_epochs(count, device) for count in counts}
        for epochs in loaders.values():
            next(epochs)
        by_count = {count: seconds(epochs, device) for count, epochs in loaders.items()}
        best = min(by_count, key=by_count.__getitem__)
        print("usual pipeline by workers: " + ", ".join(f"{count}: {took:.1f} s" for count, took in by_count.items()))
        usual = loaders.pop(best)
        loaders.clear()  # ends the other loaders' processes

        ours = our_epochs(cfg, device)
        next(ours)
        pairs = [(seconds(usual, device), seconds(ours, device)) for _ in range(options.repeats)]

    print(f"\n| epoch with its test, seconds | median of {options.repeats} | lowest | highest |")
    print("| --- | --- | --- | --- |")
    for label, values in zip((f"usual pipeline, {best} workers", "ablate"), zip(*pairs, strict=True), strict=True):
        print(f"| {label} | {statistics.median(values):.2f} | {min(values):.2f} | {max(values):.2f} |")
    ratios = [theirs / mine for theirs, mine in pairs]
    print(f"| usual / ablate | {statistics.median(ratios):.2f} | {min(ratios):.2f} | {max(ratios):.2f} |")


if __name__ == "__main__":
    main()
