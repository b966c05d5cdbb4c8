import http.server
import json
import logging
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import requests
from PIL import Image
from reading_runs import record_of
from running_clusters import free_port

from ablate.__main__ import run_command
from ablate.commands.publish import publish
from ablate.records.run_directory import RunDirectory
from ablate.trackers import base
from ablate.training import loop

# The tools warn of what they use themselves.
pytestmark = pytest.mark.filterwarnings("ignore")
Train = Callable[..., Path]


class Stopped(KeyboardInterrupt):
    """Takes the place of a Ctrl-C."""


@pytest.fixture
def train_in_two(train_one: Train, monkeypatch: pytest.MonkeyPatch) -> Train:
    """Trains a run that is interrupted in its second epoch, and goes on with it."""

    def train(*overrides: str, folder: str = "run") -> Path:
        evaluate, calls = loop.evaluate, []

        def once(*arguments: Any) -> Any:
            calls.append(1)
            if len(calls) == 2:
                raise Stopped
            return evaluate(*arguments)

        with monkeypatch.context() as patched, pytest.raises(Stopped):
            patched.setattr(loop, "evaluate", once)
            train_one(*overrides, folder=folder)
        path = train_one(*overrides, folder=folder)
        assert len(record_of(path)["starts"]) == 2
        return path

    return train


def rows(folder: Path) -> list[dict[str, float]]:
    return RunDirectory(folder).read_epochs()


def test_tensorboards_events_are_the_epochs(train_in_two: Train) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = train_in_two("logger=tensorboard", "model=dropout")
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    for name in set(rows(folder)[0]) - {"epoch"}:
        scalars = events.Scalars(name)
        assert [scalar.step for scalar in scalars] == [1, 2]
        assert [scalar.value for scalar in scalars] == pytest.approx([row[name] for row in rows(folder)])
    shown = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    assert b"model.edits.drop3.layer.p" in shown and b"variant" in shown


def test_tensorboard_shows_the_report(train_one: Train, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    study = tmp_path / "outputs" / "demo"
    for name in ("plain", "dropout"):
        train_one("logger=tensorboard", f"model={name}", folder=f"outputs/demo/{name}/seed0-0")
    run_command(["report", str(study)])
    for _ in range(2):  # the second takes the place of the first
        assert publish(study, ["logger=tensorboard"]) == ["tensorboard"]
    events = EventAccumulator(str(study / "tensorboard")).Reload()
    (page,) = events.Tensors("demo/report/text_summary")
    assert page.tensor_proto.string_val[0].decode() == (study / "report" / "report.md").read_text(encoding="utf-8")
    (curves,) = events.Images("demo/learning_curves")
    figure = Image.open(study / "report" / "learning_curves.png")
    assert (curves.width, curves.height) == figure.size


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """MLflow's server with its SQLite store."""
    folder, port = tmp_path_factory.mktemp("mlflow"), free_port()
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "artifacts"),
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            try:
                if requests.get(f"{address}/health", timeout=1).ok:
                    break
            except requests.RequestException:
                time.sleep(0.5)
        else:
            pytest.fail((folder / "log").read_text())
        yield address
    finally:
        subprocess.run(["pkill", "-KILL", "-s", str(process.pid)], check=False)
        process.wait(30)


@pytest.mark.usefixtures("undrawn")
def test_mlflows_run_is_the_record(server: str, train_one: Train, train_in_two: Train, tmp_path: Path) -> None:
    from mlflow.tracking import MlflowClient

    uri = f"logger.mlflow.tracking_uri={server}"
    study = tmp_path / "outputs" / "demo"
    for name, train in {"plain": train_one, "dropout": train_in_two}.items():
        train("logger=mlflow", uri, f"model={name}", folder=f"outputs/demo/{name}/seed0-0")
    client = MlflowClient(server)
    experiment = client.get_experiment_by_name("demo")
    runs = {run.data.tags["variant"]: run for run in client.search_runs([experiment.experiment_id])}
    assert set(runs) == {"plain", "dropout"}
    run, folder = runs["dropout"], study / "dropout" / "seed0-0"
    record = record_of(folder)
    assert run.info.status == "FINISHED" and run.info.run_id == record["trackers"]["mlflow"]
    assert (run.data.tags["study"], run.data.tags["seed"]) == ("demo", "0")
    assert run.data.params["model.edits.drop3.layer.p"] == "0.5" and run.data.params["optimizer.lr"] == "0.001"
    history = client.get_metric_history(run.info.run_id, "test_accuracy")
    assert [(metric.step, metric.value) for metric in history] == [
        (r["epoch"], r["test_accuracy"]) for r in rows(folder)
    ]
    assert run.data.metrics["parameters"] == record["model"]["after"]["parameters"]

    run_command(["report", str(study)])
    assert publish(study, ["logger=mlflow", f"logger.mlflow.tracking_uri={server}"]) == ["mlflow"]
    (published,) = client.search_runs([experiment.experiment_id], "attributes.run_name = 'report'")
    files = {item.path for item in client.list_artifacts(published.info.run_id, "report")}
    assert {"report/index.html", "report/results.json"} <= files


def test_wandbs_offline_run_holds_the_epochs(train_one: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    folder = train_one("logger=wandb", "logger.wandb.mode=offline", "model=dropout")
    (file,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    assert record_of(folder)["trackers"]["wandb"] in file.name
    wanted = (b"test_accuracy", b"variant:dropout", b"dropout seed 0", b"model.edits.drop3.layer.p")
    for _ in range(600):  # W&B writes in a process of its own
        content = file.read_bytes()
        if all(expected in content for expected in wanted):
            break
        time.sleep(0.1)
    assert [expected for expected in wanted if expected not in content] == []
    for row in rows(folder):
        assert repr(row["test_accuracy"])[:8].encode() in content


def test_several_at_once(train_one: Train, tmp_path: Path) -> None:
    uri = f"logger.mlflow.tracking_uri=sqlite:///{tmp_path}/mlflow.db"
    folder = train_one("logger=[tensorboard,mlflow]", uri)
    assert set(record_of(folder)["trackers"]) == {"tensorboard", "mlflow"}
    assert (tmp_path / "mlflow.db").is_file() and list((folder / "tensorboard").iterdir())


def test_a_tracker_that_fails_costs_the_run_nothing(
    train_one: Train, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    with caplog.at_level(logging.WARNING):
        folder = train_one("logger=mlflow", f"logger.mlflow.tracking_uri=sqlite:///{tmp_path}/file/mlflow.db")
    record = record_of(folder)
    assert record["status"] == "complete" and len(rows(folder)) == 2
    said = [r.message for r in caplog.records if "continues without logger=mlflow" in r.message]
    assert len(said) == 1 and said[0].startswith("plain seed 0 continues without")


def test_what_is_not_installed_is_said_before_the_run(train_one: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(
        ValueError, match=re.escape("logger=wandb: wandb is not installed; pip install 'hydra-ablate[wandb]'")
    ):
        train_one("logger=wandb")


def test_loggers_change_no_identity_and_only_ours_are_run(compose: Callable[..., Any], train_one: Train) -> None:
    from ablate.config.identity import run_id

    assert run_id(compose("logger=[tensorboard,wandb]")) == run_id(compose())
    with pytest.raises(
        ValueError, match=re.escape("logger.mlflow._target_=os.system: code of ablate.trackers is allowed")
    ):
        train_one("logger=mlflow", "logger.mlflow._target_=os.system")


@pytest.mark.usefixtures("undrawn")
def test_a_report_that_goes_nowhere_is_refused(
    train_one: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = tmp_path / "outputs" / "demo"
    train_one("logger=tensorboard", folder="outputs/demo/plain/seed0-0")
    assert run_command(["publish", str(study)]) == 2
    assert "has no report yet; ablate report" in capsys.readouterr().err
    train_one(folder="outputs/other/plain/seed0-0")
    assert run_command(["report", str(study.with_name("other"))]) == 0
    with pytest.raises(ValueError, match=r"no tracker is named; .* logger=mlflow logger.mlflow.tracking_uri=http://"):
        publish(study.with_name("other"))


class Listener(http.server.BaseHTTPRequestHandler):
    """Takes the place of a stranger's server, and notes that somebody came."""

    came: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.came.append(self.path)
        self.send_error(404)

    do_POST = do_PUT = do_GET  # noqa: N815

    def log_message(self, *_: Any) -> None:
        pass


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    "said",
    [
        {"_target_": "ablate.trackers.mlflow.MLflow", "tracking_uri": "http://ADDRESS"},
        {"_target_": "ablate.trackers.mlflow.MLflow", "tracking_uri": "http://me:word@ADDRESS"},
        {"_target_": "ablate.trackers.wandb.WandB", "project": "theirs", "entity": "theirs", "mode": "online"},
    ],
)
def test_nothing_goes_where_a_record_says(
    said: dict[str, str], train_one: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a report that is published nor a run that is verified."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Listener) as stranger:
        threading.Thread(target=stranger.serve_forever, daemon=True).start()
        address = f"127.0.0.1:{stranger.server_port}"
        monkeypatch.setenv("WANDB_BASE_URL", f"http://{address}")
        study = tmp_path / "outputs" / "demo"
        folder = train_one(folder="outputs/demo/plain/seed0-0")
        assert run_command(["report", str(study)]) == 0
        record = record_of(folder)
        node = {key: value.replace("ADDRESS", address) for key, value in said.items()}
        record["config"]["logger"] = {"x": node}
        record["config"]["store"] = f"http://{address}/store"
        (folder / "run.json").write_text(json.dumps(record))
        assert run_command(["publish", str(study)]) == 2
        assert run_command(["publish", str(study), "logger=tensorboard"]) == 0
        assert run_command(["verify", str(folder)]) == 0
        stranger.shutdown()
    assert Listener.came == []
