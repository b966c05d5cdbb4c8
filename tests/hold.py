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
    computed = 0  # in this process

    def __init__(self, gate: str, after: int, num_classes: int) -> None:
        super().__init__()
        self.gate, self.after, self.evaluates = Path(gate), after, False

    def update(self, output: torch.Tensor, target: torch.Tensor) -> None:
        # Before runs start, metrics are asked what they give, with the scores of a unit matrix.
        self.evaluates = not torch.equal(output, torch.eye(output.shape[-1]))

    def compute(self) -> torch.Tensor:
        Hold.computed += self.evaluates
        while Hold.computed > self.after and self.evaluates and self.gate.exists():
            time.sleep(0.01)
        return torch.tensor(0.0)
