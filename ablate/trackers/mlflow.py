"""MLflow: an experiment for each study, a run for each run."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.records.record import RunRecord, Status
from ablate.trackers.base import Tracker, parameters, tags, totals

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_STATUS = {Status.COMPLETE: "FINISHED", Status.INTERRUPTED: "KILLED"}
_BATCH = 100  # the most parameters that the server takes in one call
_LONGEST = 500  # the most characters of a value


class MLflow(Tracker):
    """Sends runs to an MLflow server or store.

    Args:
        tracking_uri: Its address, such as `http://127.0.0.1:5000` or `sqlite:///mlflow.db`; without it MLflow's own
            choice, which the variable MLFLOW_TRACKING_URI sets.
    """

    def __init__(self, tracking_uri: str | None = None) -> None:
        self._uri = tracking_uri

    def start(self, record: RunRecord, folder: Path, earlier: str | None, epochs: int) -> str:
        self._client = self._connect()
        if earlier is not None:
            self._run = earlier
            self._client.update_run(earlier, status="RUNNING")
            return earlier
        from mlflow.entities import Param

        name = f"{record.variant} seed {record.seed}"
        experiment = self._experiment(self._client, record.study)
        self._run = str(self._client.create_run(experiment, tags=tags(record), run_name=name).info.run_id)
        shown = [Param(key, str(value)[:_LONGEST]) for key, value in parameters(record).items()]
        for first in range(0, len(shown), _BATCH):
            self._client.log_batch(self._run, params=shown[first : first + _BATCH])
        return self._run

    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        self._client.log_batch(self._run, metrics=[Metric(name, value, now, number) for name, value in values.items()])

    def end(self, record: RunRecord) -> None:
        if record.is_complete:
            # MLflow's names of metrics have letters, digits and / . _ - only; so do ours.
            self.epoch(record.planned_epochs, totals(record))
        self._client.set_terminated(self._run, _STATUS.get(record.status, "FAILED"))

    def publish(self, study: str, report: Path) -> bool:
        """Sends a report as the artefacts of a run of its own."""
        client = self._connect()
        run = client.create_run(self._experiment(client, study), run_name="report", tags={"study": study})
        client.log_artifacts(run.info.run_id, str(report), "report")
        client.set_terminated(run.info.run_id)
        return True

    def _connect(self) -> "MlflowClient":
        from mlflow.tracking import MlflowClient

        return MlflowClient(tracking_uri=self._uri)

    def _experiment(self, client: "MlflowClient", study: str) -> str:
        from mlflow.exceptions import MlflowException

        experiment = client.get_experiment_by_name(study)
        if experiment is None:
            try:
                return str(client.create_experiment(study))
            except MlflowException:  # another process was faster
                experiment = client.get_experiment_by_name(study)
        assert experiment is not None
        return str(experiment.experiment_id)
