"""TensorBoard: event files in each run's folder."""

from collections.abc import Mapping
from pathlib import Path

from ablate.records.record import RunRecord
from ablate.trackers.base import Tracker, parameters, tags


class TensorBoard(Tracker):
    """Writes event files into `tensorboard/` of the run directory; `tensorboard --logdir outputs` shows all runs."""

    def start(self, record: RunRecord, folder: Path, earlier: str | None, epochs: int) -> str:
        from torch.utils.tensorboard import SummaryWriter
        from torch.utils.tensorboard.summary import hparams

        path = folder / "tensorboard"
        # An earlier start may have written epochs that are trained again: TensorBoard hides those.
        self._writer = SummaryWriter(str(path), purge_step=epochs + 1 if earlier is not None else None)
        if earlier is None:
            shown = {**parameters(record), **tags(record)}
            plain = {key: value if isinstance(value, int | float | str) else str(value) for key, value in shown.items()}
            for summary in hparams(plain, {"test_accuracy": 0}):
                self._writer._get_file_writer().add_summary(summary)
        return str(path.name)

    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, number)
        self._writer.flush()

    def end(self, record: RunRecord) -> None:
        self._writer.add_text("status", str(record.status))
        self._writer.close()

    def publish(self, study: str, report: Path) -> bool:
        """Writes the page of a report as text and its figures as images, into `tensorboard/` of the study's folder."""
        import numpy as np
        from PIL import Image
        from torch.utils.tensorboard import SummaryWriter

        folder = report.parent / "tensorboard"
        for file in folder.glob("events.*"):  # of an earlier report
            file.unlink()
        with SummaryWriter(str(folder)) as writer:
            writer.add_text(f"{study}/report", (report / "report.md").read_text(encoding="utf-8"))
            for file in sorted(report.glob("*.png")):
                pixels = np.asarray(Image.open(file).convert("RGB"))
                writer.add_image(f"{study}/{file.stem}", pixels, dataformats="HWC")
        return True
