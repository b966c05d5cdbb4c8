"""Runs whose files go to a store: a real S3 server on this machine, stopped and started, and a folder."""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hold import HOLDING, held
from reading_runs import record_of, results_of
from warm import ROOT, Server

from ablate.__main__ import run_command
from ablate.commands.status import look
from ablate.config.schema import Config
from ablate.files import atomic_write
from ablate.records import run_directory, uploads
from ablate.records.run_directory import RunDirectory
from ablate.records.store import Store, mirror
from ablate.runs import recorder
from ablate.runs.job import Job
from ablate.runs.progress import Progress
from ablate.runs.run import run
from ablate.sweeps.cohorts import train_cohort
from ablate.training.checkpoint import save_checkpoint

Compose = Callable[..., Config]


class S3:
    """A server on this machine, which keeps its buckets while it is stopped."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.start()

    def start(self) -> None:
        from moto.server import ThreadedMotoServer

        self.server = ThreadedMotoServer(ip_address="127.0.0.1", port=self.port, verbose=False)
        self.server.start()

    def stop(self) -> None:
        self.server.stop()

    @property
    def env(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_MAX_ATTEMPTS": "1",
        }


@pytest.fixture(scope="module")
def server() -> Iterator[S3]:
    pytest.importorskip("moto.server", reason="there is no S3 server; `make test-store` installs one")
    pytest.importorskip("s3fs", reason="there is no client of S3; `make test-store` installs one")
    s3 = S3()
    yield s3
    s3.stop()


@pytest.fixture
def s3(server: S3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The address of an empty bucket."""
    import boto3

    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    bucket = f"studies-{time.time_ns()}"
    boto3.client("s3").create_bucket(Bucket=bucket)
    return f"s3://{bucket}/runs"


def train(quick: Compose, folder: Path, address: str, *overrides: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    run(Job(quick(f"store={address}", *overrides), folder), Progress())
    return folder


def names(address: str) -> set[str]:
    return {Path(name).name for name in Store(address).files("**/*.*")}


@pytest.mark.parametrize("kind", ["s3", "folder"])
def test_a_file_is_written_read_and_listed(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    there = Store(request.getfixturevalue("s3") if kind == "s3" else str(tmp_path / "store"))
    there.check()
    assert there.read("a/b.json") is None
    there.write("a/b.json", b"one")
    before = there.files("**/*.json")
    there.write("a/b.json", b"other")
    assert there.read("a/b.json") == b"other"
    after = there.files("**/*.json")
    assert list(before) == list(after) == ["a/b.json"]
    assert before["a/b.json"] != after["a/b.json"]


def test_a_run_is_in_the_store_and_found_there_by_another_machine(quick: Compose, s3: str, tmp_path: Path) -> None:
    here = train(quick, tmp_path / "one" / "plain" / "seed0-x", s3)
    assert names(s3) >= {"run.json", "epochs.csv", "checkpoint.pt"}
    there = train(quick, tmp_path / "two" / "plain" / "seed0-x", s3)  # another machine, with nothing on its disk
    assert record_of(there) == record_of(here)
    assert results_of(there) == results_of(here)


def test_an_interrupted_run_goes_on_elsewhere(
    quick: Compose, s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("train.epochs=4", "model=dropout")
    whole = train(quick, tmp_path / "whole" / "a" / "seed0", str(tmp_path / "store"), *options)

    def save_two(state: dict[str, Any], directory: RunDirectory, rows: list[Any]) -> None:
        if len(rows) == 3:
            raise KeyboardInterrupt
        save_checkpoint(state, directory, rows)

    with monkeypatch.context() as patch:
        patch.setattr(recorder, "save_checkpoint", save_two)
        with pytest.raises(KeyboardInterrupt):
            train(quick, tmp_path / "one" / "b" / "seed0", s3, *options)
    shutil.rmtree(tmp_path / "one")  # the machine is gone
    resumed = train(quick, tmp_path / "two" / "b" / "seed0", s3, *options)
    assert results_of(resumed) == results_of(whole)
    assert len(record_of(resumed)["starts"]) == 2


def test_a_run_that_starts_anew_is_not_taken_for_the_one_in_the_store(
    quick: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, folder = str(tmp_path / "store"), tmp_path / "plain" / "seed0"
    first = record_of(train(quick, folder, address))

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(recorder, "save_checkpoint", stop)
        with pytest.raises(KeyboardInterrupt):
            train(quick, folder, address, "rerun=all")
    second = record_of(train(quick, folder, address))
    assert second["status"] == "complete"
    assert second["started"] != first["started"] and len(second["starts"]) == 2
    assert json.loads(Store(address).read("demo/plain/seed0/run.json") or b"{}") == second


def test_a_damaged_record_is_replaced_by_that_of_the_store(quick: Compose, tmp_path: Path) -> None:
    address = str(tmp_path / "store")
    folder = train(quick, tmp_path / "plain" / "seed0", address)
    whole = record_of(folder)
    (folder / "run.json").write_text('{"status": "comp')
    assert record_of(train(quick, folder, address)) == whole


@pytest.mark.parametrize(("error", "patience"), [(OSError, "PATIENCE"), (KeyboardInterrupt, "HURRY")])
def test_an_interrupted_cohort_does_not_wait_for_its_store(
    quick: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException], patience: str
) -> None:
    waited: list[float] = []

    def stop(*_: Any) -> None:
        raise error

    monkeypatch.setattr(recorder, "save_checkpoint", stop)
    monkeypatch.setattr(uploads.RunStore, "finish", lambda self, patience: waited.append(patience))
    cohort = [
        Job(quick(f"model={name}", f"store={tmp_path}/store"), tmp_path / name / "seed0", ())
        for name in ("plain", "dropout")
    ]
    with suppress(KeyboardInterrupt):
        train_cohort(cohort, "9", lambda share: None)
    assert waited == [getattr(uploads, patience)] * 2


def test_a_cohort_leaves_it_to_its_jobs_to_say_that_a_store_stays_away(
    quick: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cohort = [
        Job(quick(f"model={name}", f"store={tmp_path}/store"), tmp_path / name / "seed0", ())
        for name in ("plain", "dropout")
    ]
    monkeypatch.setattr(run_directory, "PATIENCE", 0.2)
    with monkeypatch.context() as patch:
        patch.setattr(Store, "write", lambda *args: (_ for _ in ()).throw(PermissionError("Access Denied")))
        train_cohort(cohort, "9", lambda share: None)
        for member in cohort:
            assert record_of(member.folder)["status"] == "complete"
            assert not RunDirectory(member.folder).lock_file.exists()
            with pytest.raises(run_directory.RunFailed, match=r"demo/\w+/seed0: .*Access Denied"):
                run(member, Progress())


def test_names_that_lead_out_of_the_folder_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(Store, "files", lambda self, pattern: {"../../../stolen/run.json": "1"})
    with pytest.raises(ValueError, match="there are no runs in it"):
        mirror(str(tmp_path / "store"))


def test_what_is_further_here_is_brought_there(quick: Compose, s3: str, tmp_path: Path) -> None:
    folder = train(quick, tmp_path / "plain" / "seed0", str(tmp_path / "other"))
    assert not names(s3)
    train(quick, folder, s3)
    assert names(s3) >= {"run.json", "epochs.csv", "checkpoint.pt"}


def test_report_and_status_read_from_the_store(
    quick: Compose, s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("plain", "dropout"):
        for seed in (0, 1):
            train(quick, tmp_path / "runs" / name / f"seed{seed}", s3, f"model={name}", f"seed={seed}")
    monkeypatch.chdir(tmp_path)
    run_command(["report", f"{s3}/demo"])
    assert "4 complete runs of 2 variants" in (tmp_path / "outputs" / "demo" / "report" / "report.md").read_text()
    assert [each.status for each in look(mirror(f"{s3}/demo"))] == ["complete"] * 4


def test_only_what_has_changed_is_fetched(
    quick: Compose, s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(quick, tmp_path / "runs" / "plain" / "seed0", s3)
    folder = mirror(f"{s3}/demo")
    fetched: list[str] = []
    read = Store.read
    monkeypatch.setattr(Store, "read", lambda self, key: fetched.append(key) or read(self, key))  # type: ignore[func-returns-value]
    assert mirror(f"{s3}/demo") == folder and not fetched
    Store(f"{s3}/demo").write("plain/seed0/epochs.csv", b"epoch\n")
    mirror(f"{s3}/demo")
    assert fetched == ["plain/seed0/epochs.csv"]
    assert (folder / "plain/seed0/epochs.csv").read_bytes() == b"epoch\n"


def test_a_server_that_is_away_for_a_while_costs_nothing(server: S3, s3: str, warm: Server, tmp_path: Path) -> None:
    gate, said = tmp_path / "gate", tmp_path / "said"
    command = [
        "ablate", "-m", "study=demo", "model=plain,dropout", "seed=0", "data.subset=30", "train.epochs=8",
        "train.batch_size=64", "hardware.threads=1", f"store={s3}", *held(gate, after=4),
    ]  # fmt: skip
    env = {**os.environ, **server.env, "PYTHONPATH": f"{ROOT}:{HOLDING}"}
    with said.open("w") as output:
        process = warm.popen(*command, cwd=tmp_path, env=env, stdout=output.fileno(), stderr=subprocess.STDOUT)
    files = tmp_path / "outputs"

    def wait_for(condition: Callable[[], bool]) -> None:
        while not condition():
            assert process.poll() is None, said.read_text()
            time.sleep(0.05)

    wait_for(lambda: any(len(path.read_text().splitlines()) > 3 for path in files.glob("*/*/*/epochs.csv")))
    server.stop()
    gate.unlink()
    wait_for(lambda: "cannot be written to" in said.read_text())
    server.start()
    assert process.wait(600) == 0, said.read_text()
    assert "can be reached again" in said.read_text()
    there = Store(s3)
    for name in ("plain", "dropout"):
        (folder,) = files.glob(f"demo/{name}/*")
        for file in ("run.json", "epochs.csv", "checkpoint.pt"):
            assert there.read(f"demo/{name}/{folder.name}/{file}") == (folder / file).read_bytes()


def test_a_store_that_stays_away_fails_the_run_and_keeps_its_files(
    quick: Compose, s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ablate.records.run_directory import RunFailed

    folder = tmp_path / "plain" / "seed0"
    monkeypatch.setattr(run_directory, "PATIENCE", 0.5)
    with monkeypatch.context() as patch:
        patch.setattr(Store, "write", lambda *args: (_ for _ in ()).throw(PermissionError("Access Denied")))
        with pytest.raises(
            RunFailed, match=r"could not be brought to s3://.*Access Denied.*the same command tries again"
        ):
            train(quick, folder, s3)
    assert record_of(folder)["status"] == "complete"
    train(quick, folder, s3)
    assert json.loads(Store(s3).read("demo/plain/seed0/run.json") or b"{}")["status"] == "complete"


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("s4://bucket/runs", "store=s4://bucket/runs: "),
        ("s3://there-is-no-such-bucket/runs", "cannot be written to and read from"),
    ],
)
def test_an_unusable_store_is_refused_before_anything_starts(
    server: S3, ablate: Callable[..., Any], tmp_path: Path, address: str, message: str
) -> None:
    answer = ablate("study=demo", "data.subset=30", f"store={address}", **server.env)
    assert answer.returncode == 2
    assert message in answer.stderr and "Traceback" not in answer.stderr
    assert not (tmp_path / "outputs").exists() or not list((tmp_path / "outputs").rglob("run.json"))


def test_a_missing_package_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*args: Any, **kwargs: Any) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("fsspec.core.url_to_fs", missing)
    with pytest.raises(ValueError, match=r"Install s3fs to access S3; pip install 'hydra-ablate\[s3\]'"):
        Store("s3://bucket/runs")


def test_the_newest_state_of_a_file_goes_up_after_those_before_it(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    arrived: list[tuple[str, bytes]] = []

    class Slow(Store):
        def write(self, key: str, content: bytes) -> None:
            time.sleep(0.05)
            arrived.append((key, content))

    up = uploads.RunStore(Slow(str(tmp_path / "store")), "k", folder, ["checkpoint.pt", "run.json"])
    for number in range(5):
        for name in ("checkpoint.pt", "run.json"):
            with atomic_write(folder / name) as file:
                file.write(str(number))
        up.push(["checkpoint.pt", "run.json"])
    up.finish(10)
    assert dict(arrived) == {"k/checkpoint.pt": b"4", "k/run.json": b"4"}
    assert arrived[-1][0] == "k/run.json"
    assert len(arrived) < 10
