"""The device a run computes on, and torch's global settings for the time of the run."""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import torch

from ablate.config.schema import HardwareConfig
from ablate.records.record import Provenance

# torch sets this attribute in a way that type checkers do not see.
_CONVOLUTIONS: Any = torch.backends.cudnn.conv  # type: ignore[attr-defined]

# Parameters of mallopt, from malloc.h of the GNU C library.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3


def choose_device(hardware: HardwareConfig) -> torch.device:
    """Returns the device that a hardware option means; ValueError says what can be had or done instead."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    name = hardware.device
    if name == "auto":
        name = next(device for device, available in there.items() if available)
    if not there[name]:
        usable = " or ".join(f"hardware={device}" for device, available in there.items() if available)
        raise ValueError(f"hardware.device={name}: torch {torch.__version__} finds none on this machine; use {usable}")
    if hardware.precision == "tf32" and name != "cuda":
        raise ValueError(f"hardware.precision=tf32: needs a CUDA GPU, and this run is on {name}; use fp32 or bf16")
    return torch.device(name, 0) if name == "cuda" else torch.device(name)


def keep_memory() -> None:
    """Has the C library keep freed memory for the next step instead of giving it back, where it is glibc.

    Getting a step's activations from the system page by page takes a quarter of a step's time.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        for parameter, size in {_M_TRIM_THRESHOLD: 2**31 - 1, _M_MMAP_THRESHOLD: 2**25}.items():  # bytes, the most
            mallopt(parameter, size)


@contextmanager
def configured(hardware: HardwareConfig) -> Iterator[torch.device]:
    """Applies a hardware option to torch's global settings and restores them after: a sweep's jobs share a process."""
    device = choose_device(hardware)
    if device.type == "cpu":
        keep_memory()
    with ExitStack() as restore:
        restore.callback(torch.set_num_threads, torch.get_num_threads())
        if hardware.threads is not None:
            torch.set_num_threads(hardware.threads)
        restore.callback(torch.use_deterministic_algorithms, torch.are_deterministic_algorithms_enabled())
        if hardware.deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS asks for it, before its first use
            torch.use_deterministic_algorithms(True)
        restore.callback(setattr, torch.backends.cudnn, "benchmark", torch.backends.cudnn.benchmark)
        torch.backends.cudnn.benchmark = not hardware.deterministic
        for backend in (torch.backends.cuda.matmul, _CONVOLUTIONS):
            restore.callback(setattr, backend, "fp32_precision", backend.fp32_precision)
            backend.fp32_precision = "tf32" if hardware.precision == "tf32" else "ieee"
        yield device


def describe(provenance: Provenance, device: torch.device) -> Provenance:
    """Returns what a run came from with its device: the type, the model's name, and the CPU threads in use."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return replace(provenance, device=device.type, accelerator=name, threads=torch.get_num_threads())
