"""Runs of other tools as run records: what is read is what the tool's own library wrote."""

import csv
import json
import math
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from reading_runs import record_of, results_of

from ablate.__main__ import run_command

# The tools warn of what they use themselves.
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("undrawn")]
Train = Callable[..., Path]
ACCURACY = {("base", "a"): 0.61, ("base", "b"): 0.63, ("wide", "a"): 0.66, ("wide", "b"): 0.67}


@pytest.fixture
def outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "outputs"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A row a run, paired by fold."""
    return write(tmp_path / "runs.csv", [("arm", "fold", "acc"), *((*cell, acc) for cell, acc in ACCURACY.items())])


def write(file: Path, rows: Sequence[Sequence[object]]) -> Path:
    with file.open("w", newline="", encoding="utf-8") as content:
        csv.writer(content).writerows(rows)
    return file


def folders(study: Path) -> dict[tuple[str, int], Path]:
    found = {}
    for file in study.glob("*/*/run.json"):
        record = record_of(file.parent)
        found[record["variant"], record["seed"]] = file.parent
    return found


def refused(arguments: Sequence[str], capsys: pytest.CaptureFixture[str], outputs: Path) -> str:
    assert run_command(["import", *arguments]) == 2
    assert not outputs.exists(), "something was written"
    return capsys.readouterr().err


def test_a_table_is_judged_as_the_report_judges_it(table: Path, outputs: Path) -> None:
    options = ["--variant=arm", "--seed=fold", "--baseline=base"]
    assert run_command(["import", "csv", str(table), "--study=mine", "--metric=test_accuracy=acc", *options]) == 0
    assert set(folders(outputs / "mine")) == {("base", 0), ("base", 1), ("wide", 0), ("wide", 1)}
    run_command(["report", str(outputs / "mine")])
    run_command(["report", str(table), "--metric=acc", *options])
    found, expected = (
        json.loads((folder / "results.json").read_text())["comparisons"]
        for folder in (outputs / "mine" / "report", table.with_name("runs-report"))
    )
    assert len(found) == len(expected) == 1
    for name in ("mean", "low", "high", "p_t", "p_sign_flip", "wins"):
        assert found[0][name] == pytest.approx(expected[0][name]), name
    page = (outputs / "mine" / "report" / "report.md").read_text()
    assert "4 runs imported from csv: of what data, code and machine is not recorded" in page
    assert "saw the images in one order" not in page and "seconds" not in page.lower()


def test_a_row_an_epoch(tmp_path: Path, outputs: Path) -> None:
    rows = [(v, s, e, 0.05 * e + 0.01 * s, 2 / e) for v in ("plain", "bn") for s in (3, 4) for e in (2, 10, 1)]
    table = write(tmp_path / "epochs.tsv", [("variant", "seed", "at", "acc", "val/loss"), *rows])
    table.write_text(table.read_text().replace(",", "\t"))
    asked = ["--study=mine", "--epoch=at", "--metric=test_accuracy=acc", "--metric=val/loss"]
    assert run_command(["import", "csv", str(table), *asked]) == 0
    first = results_of(folders(outputs / "mine")["bn", 4])
    assert [row["test_accuracy"] for row in first] == pytest.approx([0.09, 0.14, 0.54])
    assert [row["val_loss"] for row in first] == pytest.approx([2, 1, 0.2])


def test_runs_of_other_lengths_are_of_one_variant(tmp_path: Path, outputs: Path) -> None:
    rows = [(v, s, e, 0.1 * e + 0.01 * s) for v in ("plain", "bn") for s in range(3) for e in range(2 + s)]
    table = write(tmp_path / "epochs.csv", [("variant", "seed", "at", "acc"), *rows])
    assert run_command(["import", "csv", str(table), "--study=mine", "--metric=acc", "--epoch=at"]) == 0
    assert run_command(["report", str(outputs / "mine")]) == 0
    results = json.loads((outputs / "mine" / "report" / "results.json").read_text())
    assert [variant["label"] for variant in results["variants"]] == ["plain", "bn"]
    assert results["comparisons"][0]["pairs"] == 3
    page = (outputs / "mine" / "report" / "report.md").read_text()
    assert "2, 3 and 4 epochs each" in page and "python -m ablate" not in page


def test_settings_make_variants_and_a_second_time_replaces(tmp_path: Path, outputs: Path) -> None:
    rows = [("plain", seed, lr, 0.5 + lr) for lr in (0.1, 0.2) for seed in (0, 1)]
    table = write(tmp_path / "runs.csv", [("variant", "seed", "lr", "acc"), *rows])
    asked = ["csv", str(table), "--study=mine", "--metric=acc", "--setting=lr"]
    for _ in range(2):
        assert run_command(["import", *asked]) == 0
        assert len(list(outputs.glob("mine/plain/*/run.json"))) == 4
    run_command(["report", str(outputs / "mine")])
    results = json.loads((outputs / "mine" / "report" / "results.json").read_text())
    assert {variant["label"] for variant in results["variants"]} == {"plain (lr=0.1)", "plain (lr=0.2)"}


def test_a_further_fold_moves_the_others(table: Path, outputs: Path) -> None:
    asked = ["csv", str(table), "--study=mine", "--variant=arm", "--seed=fold", "--metric=acc", "--baseline=base"]
    assert run_command(["import", *asked]) == 0
    text = table.read_text()
    table.write_text(text.replace("base,a,", "base,_,0.5\nbase,a,"))  # before the others, in order and in the file
    assert run_command(["import", *asked]) == 0
    assert set(folders(outputs / "mine")) == {("base", 0), ("base", 1), ("base", 2), ("wide", 1), ("wide", 2)}
    assert len(list(outputs.glob("mine/*/*"))) == 5
    assert results_of(folders(outputs / "mine")["base", 1])[-1]["acc"] == ACCURACY["base", "a"]


def test_names_are_made_fit_for_folders(tmp_path: Path, outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [("variant", "seed", "acc"), ("plain", 0, 0.5), ("wide / deep", 0, 0.6)]
    table = write(tmp_path / "runs.csv", rows)
    assert run_command(["import", "csv", str(table), "--study=mine", "--metric=acc"]) == 0
    assert set(folders(outputs / "mine")) == {("plain", 0), ("wide_deep", 0)}
    for name in ("..", "wide/deep"):
        write(table, [*rows, (name, 0, 0.7)])
        assert run_command(["import", "csv", str(table), "--study=other", "--metric=acc"]) == 2
        assert "cannot be told from others as a name" in capsys.readouterr().err
    assert not (outputs / "other").exists()


def test_mlflows_runs_of_ablate_come_back_as_they_were(train_one: Train, tmp_path: Path, outputs: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    made = [
        train_one("logger=mlflow", f"logger.mlflow.tracking_uri={uri}", f"model={name}", folder=f"own/{name}")
        for name in ("plain", "dropout")
    ]
    assert run_command(["import", "mlflow", uri, "--study=back", "--metric=test_accuracy", "--metric=train_loss"]) == 0
    brought = folders(outputs / "back")
    for folder in made:
        record = record_of(folder)
        found = brought[record["variant"], 0]
        assert record_of(found)["status"] == "complete"
        for name in ("test_accuracy", "train_loss"):
            assert record_of(found)["results"][name] == pytest.approx(record["results"][name])
            assert [row[name] for row in results_of(found)] == [row[name] for row in results_of(folder)]


def test_mlflow_runs_that_did_not_end_well_and_others(
    tmp_path: Path, outputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from mlflow.tracking import MlflowClient

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    client = MlflowClient(tracking_uri=uri)
    experiment = client.create_experiment("tries")
    for variant, seed, status in (
        ("plain", 0, "FINISHED"),
        ("bn", 0, "FAILED"),
        ("bn", 1, "FINISHED"),
        (None, 0, None),
    ):
        run = client.create_run(experiment, run_name="report" if variant is None else None).info.run_id
        if variant is not None:
            client.log_param(run, "arm", variant)
            client.set_tag(run, "s", seed)
            client.log_metric(run, "loss", 3.0, step=0)
            client.log_metric(run, "loss", 2.0, step=5)
            if (variant, seed) != ("bn", 1):
                client.log_metric(run, "acc", 0.5, step=5)
            client.set_terminated(run, status)
    asked = ["mlflow", uri, "--study=mine", "--variant=arm", "--seed=s", "--metric=acc", "--metric=loss"]
    assert run_command(["import", *asked]) == 0
    assert re.search(r"left out +\w+: says no arm or s", capsys.readouterr().out)
    records = {cell: record_of(folder) for cell, folder in folders(outputs / "mine").items()}
    assert {cell: record["status"] for cell, record in records.items()} == {
        ("plain", 0): "complete", ("bn", 0): "failed", ("bn", 1): "failed"
    }  # fmt: skip
    assert records["bn", 1]["error"]["message"] == "never logged acc"
    assert records["plain", 0]["results"]["loss"]["final"] == 2.0
    assert run_command(["import", *asked, "--experiment=trys"]) == 2
    assert "--experiment trys" in (said := capsys.readouterr().err) and "tries" in said
    client.create_experiment("others")
    assert run_command(["import", *asked]) == 2
    assert "choose from" in capsys.readouterr().err


Logs = Callable[[str, int, Sequence[dict[str, float]]], None]  # a variant, a seed, and what is logged step by step


def log_to_mlflow(uri: str) -> Logs:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    experiment = client.create_experiment("tries")

    def log(variant: str, seed: int, steps: Sequence[dict[str, float]]) -> None:
        run = client.create_run(experiment).info.run_id
        client.log_param(run, "arm", variant)
        client.log_param(run, "s", seed)
        for step, values in enumerate(steps):
            for name, value in values.items():
                client.log_metric(run, name, value, step=step)
        client.set_terminated(run, "FINISHED")

    return log


def log_to_wandb(variant: str, seed: int, steps: Sequence[dict[str, float]]) -> None:
    import wandb

    with wandb.init(project="p", mode="offline", config={"arm": variant, "s": seed}) as run:
        for values in steps:
            run.log(values)


@pytest.mark.parametrize("tool", ["mlflow", "wandb"])
def test_metrics_as_lightning_names_and_trackers_store_them(
    tool: str, offline: Path, outputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names with a slash, one that is a column of ablate's, infinities, and a test row after the last epoch."""
    address = f"sqlite:///{offline}/mlflow.db" if tool == "mlflow" else str(offline)
    log = log_to_mlflow(address) if tool == "mlflow" else log_to_wandb
    for variant, seed, last in (("plain", 0, 0.5), ("bn", 0, 0.6), ("bn", 1, math.inf), ("bn", 2, math.nan)):
        epochs = [{"val/acc": 0.1, "seed": 7.0, "train/loss": math.inf}, {"val/acc": last, "seed": 7.0}]
        log(variant, seed, [*epochs, {"test/acc": 0.4}])
    if tool == "wandb":
        import wandb

        wandb.teardown()  # its process may still be writing what has ended
    asked = ["import", tool, address, "--study=mine", "--variant=arm", "--seed=s", "--metric=val/acc"]
    assert run_command([*asked, "--metric=seed"]) == 2
    assert "--metric seed: give it a name" in capsys.readouterr().err
    asked += ["--metric=dice=seed", "--metric=test/acc", "--metric=train/loss"]
    assert run_command(asked) == 0, capsys.readouterr().err
    records = {cell: record_of(folder) for cell, folder in folders(outputs / "mine").items()}
    assert {cell: record["status"] for cell, record in records.items()} == {
        ("plain", 0): "complete", ("bn", 0): "complete", ("bn", 1): "failed", ("bn", 2): "failed"
    }  # fmt: skip
    final = {name: result["final"] for name, result in records["bn", 0]["results"].items()}
    assert (final["val_acc"], final["dice"], final["test_acc"]) == (0.6, 7.0, 0.4)
    rows = results_of(folders(outputs / "mine")["bn", 0])
    assert len(rows) == 2 and not math.isfinite(rows[0]["train_loss"]) and math.isnan(rows[0]["test_acc"])


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for runs of W&B's offline mode, whose process keeps the folder that it was started with."""
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    yield tmp_path
    if "wandb" in sys.modules:
        sys.modules["wandb"].teardown()


def test_wandbs_offline_runs(offline: Path, outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import wandb

    kept: dict[tuple[str, int], list[float]] = {}
    for variant, seed in (("plain", 0), ("bn", 0)):
        # Records longer than a block, and so many that they cross the borders of blocks everywhere.
        config: dict[str, Any] = {"arm": variant, "note": "x" * 70_000, "run": {"seed": seed}}
        with wandb.init(project="p", mode="offline", config=config) as run:
            kept[variant, seed] = [0.5 + step / 1000 for step in range(300)]
            for step, value in enumerate(kept[variant, seed]):
                run.log({"loss": 9.0, "text": "y" * (step % 97)})
                run.log({"val": {"acc": value}, "loss": 1 / (step + 1)})
    asked = ["wandb", str(offline), "--study=mine", "--variant=arm", "--seed=run.seed"]
    assert run_command(["import", *asked, "--metric=test_accuracy=val.acc", "--metric=loss"]) == 0
    for cell, folder in folders(outputs / "mine").items():
        assert [row["test_accuracy"] for row in results_of(folder)] == kept[cell]
        assert [row["loss"] for row in results_of(folder)] == [1 / (step + 1) for step in range(300)]
    capsys.readouterr()
    # A file that was cut off, as by a kill, is read up to there, and its run is not complete.
    (file, _) = offline.rglob("*.wandb")
    file.write_bytes(file.read_bytes()[:200_000])
    assert run_command(["import", *asked, "--metric=test_accuracy=val.acc", "--metric=loss"]) == 0
    statuses = sorted(record_of(folder)["status"] for folder in folders(outputs / "mine").values())
    assert statuses == ["complete", "running"]


def test_wandbs_runs_of_ablate_come_back_as_they_were(offline: Path, outputs: Path, train_one: Train) -> None:
    folder = train_one("logger=wandb", "logger.wandb.mode=offline")
    assert run_command(["import", "wandb", str(folder), "--study=back", "--metric=test_accuracy"]) == 0
    (found,) = folders(outputs / "back").values()
    assert record_of(found)["results"]["test_accuracy"] == record_of(folder)["results"]["test_accuracy"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (["--metric=accuracy"], "has no such column; choose from arm, fold, acc"),
        (["--metric=acc", "--variant=arms"], "has no such column; did you mean arm?"),
        (["--metric=acc", "--baseline=bas"], "--baseline bas: there is no such variant; did you mean base?"),
        (["--metric=acc", "--baseline=base", "--seed=arm"], "name what tells runs apart with --setting"),
        (["--metric=acc", "--experiment=x"], "--experiment is for mlflow"),
        (["--metric=train_seconds=acc"], "--metric train_seconds: give it a name"),
        (["--metric=acc", "--epoch=arm"], "row 2, column arm: 'base' is not a number"),
        (["--metric=acc", "--study=a/b"], "--study a/b: is no name"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_is_written(
    changed: list[str], message: str, table: Path, outputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["csv", str(table), "--study=mine", "--variant=arm", "--seed=fold", *changed]
    assert message in refused(asked, capsys, outputs)


def test_percentages_are_no_accuracies(tmp_path: Path, outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = write(tmp_path / "runs.csv", [("variant", "seed", "acc"), ("plain", 0, 61.5)])
    said = refused(["csv", str(table), "--study=mine", "--metric=test_accuracy=acc"], capsys, outputs)
    assert "is 61.5 in a run, and an accuracy is a share from 0 to 1" in said
    assert run_command(["import", "csv", str(table), "--study=mine", "--metric=percent_correct=acc"]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["csv", "none.csv"], "none.csv: cannot be read as a table"),
        (["wandb", "nowhere"], "nowhere: no such folder, and no project either"),
        (["wandb", "."], "there is no .wandb file in it"),
        (["mlflow", "http://127.0.0.1:9"], "MLflow cannot be read there"),
    ],
)
def test_nothing_to_read(
    arguments: list[str],
    message: str,
    outputs: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    said = refused([*arguments, "--study=mine", "--metric=acc"], capsys, outputs)
    assert re.search(re.escape(message), said)
