"""Weights & Biases: a project for all studies, a group for each study, a run for each run."""

from collections.abc import Mapping
from pathlib import Path

from ablate.files import Plain
from ablate.records.record import RunRecord
from ablate.trackers.base import Tracker, parameters, tags, totals


class WandB(Tracker):
    """Sends runs to Weights & Biases, or writes them into the run directory to be sent later by `wandb sync`.

    Args:
        project: The project that gets the runs.
        mode: `online`, or `offline` to send nothing.
        entity: The user or team, if not the account that is logged in.
    """

    def __init__(self, project: str = "ablate", mode: str = "online", entity: str | None = None) -> None:
        self._to: Plain = {"project": project, "mode": mode, "entity": entity}

    def start(self, record: RunRecord, folder: Path, earlier: str | None, epochs: int) -> str:
        import wandb

        labels = tags(record)
        self._run = wandb.init(
            **self._to,
            id=earlier,
            resume=None if earlier is None else "allow",
            name=f"{labels['variant']} seed {labels['seed']}",
            group=labels["study"],
            tags=[f"{name}:{labels[name]}" for name in ("study", "variant", "seed")],
            config=parameters(record),
            dir=str(folder),
            reinit="create_new",  # the runs of a cohort are open at the same time
            settings=wandb.Settings(console="off", silent=True),
        )
        return str(self._run.id)

    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=number)

    def end(self, record: RunRecord) -> None:
        if record.is_complete:
            self._run.summary.update(totals(record))
        self._run.finish(exit_code=0 if record.is_complete else 1)

    def publish(self, study: str, report: Path) -> bool:
        """Sends a report as an artefact."""
        import wandb

        with wandb.init(**self._to, name="report", group=study, job_type="report", dir=str(report)) as run:
            artefact = wandb.Artifact(f"{study}-report", type="report")
            artefact.add_dir(str(report))
            run.log_artifact(artefact)
        return True
