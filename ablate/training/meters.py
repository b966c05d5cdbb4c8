"""What an epoch takes beside time: memory and energy, where the platform reports them."""

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

import torch

from ablate.config.targets import instantiate
from ablate.files import PlainMapping
from ablate.messages import install_hint
from ablate.records.epochs import COSTS

_PACKAGE = f"{__name__}."
_RAPL = Path("/sys/class/powercap")  # where Linux shows what Intel's and AMD's processors report of their energy
_RESET_PEAK = "5"  # written to clear_refs, proc(5)


class Meter(ABC):
    """Measures an epoch of a run, or of the runs of a cohort together."""

    @abstractmethod
    def prepare(self, device: torch.device) -> None:
        """Gets ready to measure what is computed on a device; ValueError says what the platform lacks."""

    @abstractmethod
    def start(self) -> None:
        """Begins an epoch."""

    @abstractmethod
    def stop(self) -> float:
        """Returns what the epoch took."""


class PeakMemory(Meter):
    """The most memory in use at one time, in bytes: of a CUDA GPU what torch allocated, else of the whole process."""

    def prepare(self, device: torch.device) -> None:
        self._device = device
        if device.type == "mps" or (device.type == "cpu" and not Path("/proc/self/clear_refs").exists()):
            raise ValueError(f"peak memory is not reported here ({device.type}): CUDA GPUs and Linux do")

    def start(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        else:
            Path("/proc/self/clear_refs").write_text(_RESET_PEAK)

    def stop(self) -> float:
        if self._device.type == "cuda":
            return float(torch.cuda.max_memory_allocated(self._device))
        status = Path("/proc/self/status").read_text()
        (peak,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
        return 1024.0 * int(peak)  # the file has KiB


class Energy(Meter):
    """The energy of the device, in joules: of a CUDA GPU by NVML, else of the processor's packages by RAPL.

    Both count all that runs on the device, whoever started it.
    """

    def prepare(self, device: torch.device) -> None:
        if device.type == "cuda":
            if importlib.util.find_spec("pynvml") is None:
                raise ValueError(f"energy of a GPU takes NVML; {install_hint('energy')}")
            import pynvml

            try:
                pynvml.nvmlInit()
                gpu = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
                self._measure_by(lambda: [1000 * pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu)], [1000 << 64])
            except pynvml.NVMLError as error:
                raise ValueError(f"NVML does not report the energy of {device}: {error}") from error
            return
        packages = sorted(path for path in _RAPL.glob("*rapl:*") if path.name.count(":") == 1)
        if device.type != "cpu" or not packages:
            raise ValueError(f"energy is not reported here ({device.type}): CUDA GPUs do, and CPUs in {_RAPL}")
        try:
            self._measure_by(
                lambda: [int((path / "energy_uj").read_text()) for path in packages],
                [int((path / "max_energy_range_uj").read_text()) + 1 for path in packages],
            )
        except PermissionError as error:
            raise ValueError(f"energy: {error.filename} may be read by root alone; chmod a+r lets others") from error

    def _measure_by(self, counters: Callable[[], list[int]], wraps: list[int]) -> None:
        """Takes counters in microjoules, and after how many each begins anew."""
        self._counters, self._wraps = counters, wraps
        self.start()

    def start(self) -> None:
        self._before = self._counters()

    def stop(self) -> float:
        counted = zip(self._counters(), self._before, self._wraps, strict=True)
        return sum((now - before) % wrap for now, before, wrap in counted) / 1e6


class Meters:
    """The meters among the `metrics` of a configuration, for what is computed on a device."""

    def __init__(self, config: PlainMapping, device: torch.device) -> None:
        self._meters: dict[str, Meter] = {}
        for name, node in config.items():
            if is_meter(node):
                if name not in COSTS:
                    raise ValueError(f"metrics.{name}: a meter is called {' or '.join(COSTS)}")
                self._meters[name] = instantiate(f"metrics.{name}", node)
                try:
                    self._meters[name].prepare(device)
                except ValueError as error:
                    raise ValueError(f"metrics.{name}: {error}") from error

    @property
    def names(self) -> list[str]:
        """What they are called in the records."""
        return list(self._meters)

    def start(self) -> None:
        """Begins an epoch."""
        for meter in self._meters.values():
            meter.start()

    def stop(self, runs: int) -> dict[str, float]:
        """Returns what the epoch took; of each run of a cohort, its share."""
        return {name: meter.stop() / runs for name, meter in self._meters.items()}


def is_meter(node: PlainMapping) -> bool:
    """Whether a node of `metrics` is a meter, and no metric of scores and labels."""
    return str(node.get("_target_")).startswith(_PACKAGE)
