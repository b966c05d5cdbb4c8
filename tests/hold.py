"""What holds a run at an epoch until a test lets it go, however fast the machine is."""

import time
from pathlib import Path

import torch

HOLDING = str(Path(__file__).parent)  # has to be on the PYTHONPATH of what is held


def held(gate: Path, after: int) -> tuple[str, ...]:
    """Returns the overrides that hold a process once it has evaluated runs so many times, as long as a file is there.

    Args:
        gate: The file, which is made.
        after: How many evaluations are not held; each run of a cohort has one an epoch.
    """
    gate.touch()
    return "allow=[hold]", f"+metrics.hold={{_target_: hold.Hold, gate: {gate}, after: {after}}}"


class Hold(torch.nn.Module):
    """A metric, which is computed for each run after each epoch, and waits as it is."""

    device = torch.device("cpu")
    # One before all evaluations asks what the metric gives.
    computed = -1

    def __init__(self, gate: str, after: int, num_classes: int) -> None:
        super().__init__()
        self.gate, self.after = Path(gate), after

    def update(self, output: torch.Tensor, target: torch.Tensor) -> None:
        pass

    def compute(self) -> torch.Tensor:
        Hold.computed += 1
        while Hold.computed > self.after and self.gate.exists():
            time.sleep(0.01)
        return torch.tensor(0.0)
