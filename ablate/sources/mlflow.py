"""Runs of an MLflow experiment."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ablate.messages import nearest
from ablate.sources.logged_run import LoggedRun

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

_STATUS = {"FINISHED": "complete", "RUNNING": "running", "SCHEDULED": "running", "KILLED": "interrupted"}


def read(address: str, experiment: str | None, metrics: Sequence[str]) -> list[LoggedRun]:
    """Returns the runs of an experiment; parameters and tags are their fields."""
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    try:
        client = MlflowClient(tracking_uri=address)
        known = {found.name: found.experiment_id for found in client.search_experiments()}
        names = [name for name in known if name != "Default"] or list(known)
        if experiment is None and len(names) == 1:
            experiment = names[0]
        if experiment not in known:
            raise ValueError(
                f"--experiment {experiment or ''}: {address} has no such; {nearest(experiment or '', names)}"
            )
        runs: list[Run] = []
        page = None
        while page is None or page:
            found = client.search_runs([known[experiment]], page_token=page)
            runs, page = [*runs, *found], found.token or ""
        return [_run(client, run, metrics) for run in runs]
    except MlflowException as error:
        raise ValueError(f"{address}: MLflow cannot be read there: {str(error).splitlines()[0]}") from error


def _run(client: "MlflowClient", run: "Run", metrics: Sequence[str]) -> LoggedRun:
    steps: defaultdict[int, dict[str, float]] = defaultdict(dict)
    for name in run.data.metrics:
        if not metrics or name in metrics:
            for logged in client.get_metric_history(run.info.run_id, name):
                steps[logged.step][name] = logged.value
        else:
            steps[0].setdefault(name, run.data.metrics[name])
    return LoggedRun(
        name=run.info.run_id,
        status=_STATUS.get(run.info.status, "failed"),
        started=datetime.fromtimestamp(run.info.start_time / 1000, UTC).isoformat(timespec="seconds"),
        fields={**run.data.tags, **run.data.params},
        history=[steps[step] for step in sorted(steps)],
    )
