"""Times an epoch of training and testing LeNet-5 on CIFAR-10 against two peers, measured in the same run.

The peers are the usual pipeline (torchvision's CIFAR10 with PIL transforms, a DataLoader at its best worker count, an
eager loop) and PyTorch Lightning on the same data. All train the same model with the same optimizer, batch size and
augmentation, and test it once. They take turns, after an epoch each that is not counted.
"""

import argparse
import logging
import os
import statistics
import threading
import time
import warnings
from collections.abc import Callable, Iterator

import lightning
import numpy as np
import torch
import torchvision
from lightning.pytorch.utilities import disable_possible_user_warnings
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import CIFAR10

from ablate.config.compose import compose
from ablate.config.schema import Config
from ablate.data import cifar10
from ablate.models.lenet import lenet5
from ablate.records import provenance
from ablate.runs.prepare import assemble, prepare
from ablate.training.hardware import configured
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


def loaders(workers: int, device: torch.device) -> tuple[DataLoader, DataLoader]:
    to_input = [transforms.ToTensor(), transforms.Normalize(cifar10.MEAN, cifar10.STD)]
    augment = transforms.Compose([transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip(), *to_input])
    options = {"num_workers": workers, "persistent_workers": workers > 0, "pin_memory": device.type == "cuda"}
    testing = DataLoader(InMemory(False, transforms.Compose(to_input)), 128, **options)
    return DataLoader(InMemory(True, augment), 128, shuffle=True, **options), testing


def adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=5e-3)


def usual_epochs(workers: int, device: torch.device, precision: str) -> Iterator[None]:
    """Trains and tests an epoch for each item taken."""
    training, testing = loaders(workers, device)
    model: nn.Module = lenet5().to(device)
    optimizer = adam(model)
    autocast = torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")
    while True:
        model.train()
        total = 0.0
        for images, labels in training:
            images, labels = images.to(device), labels.to(device)
            with autocast:
                loss = functional.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        model.eval()
        right = 0
        with torch.no_grad(), autocast:
            for images, labels in testing:
                right += (model(images.to(device)).argmax(1) == labels.to(device)).sum().item()
        yield


class LightningLeNet(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.model = lenet5()

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        loss = functional.cross_entropy(self.model(batch[0]), batch[1])
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: tuple[torch.Tensor, torch.Tensor]) -> None:
        self.log("test_accuracy", (self.model(batch[0]).argmax(1) == batch[1]).float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return adam(self)


def lightning_epochs(workers: int, device: torch.device, precision: str) -> Iterator[None]:
    """Trains and tests an epoch for each item taken: one Trainer, which waits between its epochs for the next item."""
    wanted, done, ended = threading.Semaphore(0), threading.Semaphore(0), threading.Event()
    threads = torch.get_num_threads()

    class Turns(lightning.Callback):
        def on_train_epoch_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
            wanted.acquire()
            trainer.should_stop = ended.is_set()

        def on_validation_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
            done.release()

    def train() -> None:
        torch.set_num_threads(threads)
        training, testing = loaders(workers, device)
        trainer = lightning.Trainer(
            max_epochs=10**6, accelerator="gpu" if device.type == "cuda" else "cpu", devices=1, logger=False,
            precision="bf16-mixed" if precision == "bf16" else "32-true", enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0, callbacks=[Turns()],
        )  # fmt: skip
        trainer.fit(LightningLeNet(), training, testing)

    threading.Thread(target=train, daemon=True).start()
    try:
        while True:
            wanted.release()
            done.acquire()
            yield
    finally:
        ended.set()


def our_epochs(cfg: Config) -> Iterator[None]:
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


def compare(cfg: Config, workers: int, repeats: int) -> tuple[str, list[float]]:
    """Returns a row of the table, and the medians of the usual pipeline, Lightning and ablate."""
    with configured(cfg.hardware) as device:
        threads, precision = torch.get_num_threads(), cfg.hardware.precision
        kinds = [
            usual_epochs(workers, device, precision),
            lightning_epochs(workers, device, precision),
            our_epochs(cfg),
        ]
        for epochs in kinds:
            next(epochs)
        usual, theirs, ours = zip(*([seconds(kind, device) for kind in kinds] for _ in range(repeats)), strict=True)
        for epochs in kinds:
            epochs.close()
    medians = [statistics.median(values) for values in (usual, theirs, ours)]
    cells = [f"{median:.2f}" for median in medians]
    for peer in (usual, theirs):
        ratios = sorted(other / own for other, own in zip(peer, ours, strict=True))
        cells.append(f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")
    return f"| {threads} | {precision} | {' | '.join(cells)} |", medians


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3, help="counted epochs of each (default: 3)")
    parser.add_argument("--precisions", default="fp32,bf16", help="default: fp32,bf16")
    parser.add_argument("overrides", nargs="*", help="overrides of ablate's configuration, such as hardware=cuda")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    disable_possible_user_warnings()
    logging.getLogger("lightning").setLevel(logging.ERROR)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    cfg = compose(options.overrides)
    cores = os.cpu_count() or 1
    all_threads = sorted({1, cores}) if cfg.hardware.threads is None else [cfg.hardware.threads]
    cfgs = [
        compose([*options.overrides, f"hardware.threads={threads}", f"hardware.precision={precision}"])
        for precision in options.precisions.split(",")
        for threads in all_threads
    ]
    machine = provenance.machine()
    with configured(cfg.hardware) as device:
        name = torch.cuda.get_device_name() if device.type == "cuda" else device.type
        print(f"{machine.cpu}, {machine.cores} cores; on {name}; torch {torch.__version__}, ", end="")
        print(f"torchvision {torchvision.__version__}, lightning {lightning.__version__}")
        by_count = {}
        for count in sorted({0, 1, 2, min(cores, 8)}):
            epochs = usual_epochs(count, device, "fp32")
            next(epochs)
            by_count[count] = seconds(epochs, device)
            epochs.close()
        best = min(by_count, key=by_count.__getitem__)
        print("usual pipeline by workers: " + ", ".join(f"{count}: {took:.1f} s" for count, took in by_count.items()))
    print(
        f"\nSeconds of an epoch with its test, medians of {options.repeats} in turns, {best} workers for the peers:\n"
    )
    print("| threads | precision | usual pipeline | Lightning | ablate | usual / ablate | Lightning / ablate |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    best_of: dict[str, list[list[float]]] = {}
    for cfg in cfgs:
        row, medians = compare(cfg, best, options.repeats)
        print(row, flush=True)
        best_of.setdefault(cfg.hardware.precision, []).append(medians)
    for precision, rows in best_of.items():
        usual, theirs, ours = (min(column) for column in zip(*rows, strict=True))
        ratios = f"{usual / ours:.2f} | {theirs / ours:.2f}"
        print(f"| each at its best | {precision} | {usual:.2f} | {theirs:.2f} | {ours:.2f} | {ratios} |")


if __name__ == "__main__":
    main()
