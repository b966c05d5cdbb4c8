"""The command line as its users meet it."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest
import yaml
from reading_runs import record_of
from warm import Server

from ablate.__main__ import COMMANDS, run_command
from ablate.records.run_directory import RunDirectory

QUICK = ("study=demo", "data.subset=30", "train.epochs=1", "train.batch_size=64", "hardware=cpu")
Ablate = Callable[..., "CompletedProcess[str]"]


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command that must be refused, in this process, and returns its message."""

    def call(*arguments: str) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["ablate"])
        monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
        assert run_command(list(arguments)) == 2
        message = capsys.readouterr().err
        assert list(tmp_path.iterdir()) == [], "nothing is left behind"
        assert 1 <= len(message.splitlines()) <= 3
        return message

    return call


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (
            "model=dropout model.edits.drop3.at=relu9",
            "model.edits.drop3.at=relu9: the model has no such layer; did",
        ),
        ("modle=plain", "modle: there is no such key; did you mean model?"),
        ("data=cifar10 data.root=nowhere", "data.root=nowhere: no such folder; give the folder"),
        ("optimizer=adan", "optimizer=adan: there is no such option; did you mean adam or adamw? (choose from adam,"),
        ("-m modell=plain seed=0,1", "modell: there is no such key; did you mean model?"),
        ("model=dropout model.edits.drop3.insert=aftr", "did you mean after?"),
        ("model=dropout model.edits.drop3.layer.pp=1", "did you mean model.edits.drop3.layer.p?"),
        ("model=dropout +model.edits.drop3.layer.inplce=1", "Dropout2d has no such argument; did you mean inplace?"),
        ("hardware={thread:1}", "hardware.thread: there is no such key; did you mean hardware.threads?"),
        ("optimizer={lrr:1}", "optimizer.lrr: there is no such key; did you mean optimizer.lr?"),
        ("-m study=demo train={epoch:1}", "train.epoch: there is no such key; did you mean train.epochs?"),
        ("hardware.precison=bf16", "did you mean hardware.precision?"),
        ("train.epochs=abc", "train.epochs=abc: Value 'abc' of type 'str' could not be converted to Integer"),
        ("train.epochs=0", "train.epochs=0: must be at least 1"),
        ("optimizer.lr=-1", "optimizer.lr=-1.0: must be above 0"),
        ("study=demo train.batch_size=5000", "train.batch_size=5000: there are only 1437 training images"),
        ("study=demo data.subset=500", "digits has only 141 training images"),
        ("study=demo data.root=x", "data.root: there is no such key"),
        ("-m study=demo seed=0,x", "seed=x: Value 'x' of type 'str' could not be converted to Integer"),
        ("-m study=demo optimizer.lr=0.1,-1", "optimizer.lr=-1.0: must be above 0"),
        ("-m study=demo model=plain,dropuot", "model=dropuot: there is no such option; did you mean dropout"),
        (
            "-m study=demo model=plain,dropout model.edits.drop3.layer.p=0.5",
            "model.edits.drop3.layer.p: there is no such",
        ),
        ("--cfg job --info", "Only one of"),
        ("rerun=some", "rerun=some: there is no such choice; choose from never, failed, stale, all"),
        ("study=demo train.max_retries=-1", "train.max_retries=-1: must be at least 0"),
        ("model.base._target_=os.system", "model.base._target_=os.system: code of torch.nn, torchvision.models"),
        ("-m study=demo +allow=[a/b]", "allow=a/b: name a Python package or module"),
    ],
)
def test_a_mistake_gets_a_message_before_anything_is_started(
    command: str, message: str, refused: Callable[..., str]
) -> None:
    assert message in refused(*command.split())


def test_usage_errors_are_argparses(ablate: Ablate) -> None:
    done = ablate("--multirn")
    assert done.returncode == 2
    assert "unrecognized arguments: --multirn" in done.stderr


def test_a_refusal_in_a_process_of_its_own(ablate: Ablate, tmp_path: Path) -> None:
    done = ablate("modle=plain")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("modle: there is no such key; did you mean model?")
    assert "Traceback" in ablate("modle=plain", HYDRA_FULL_ERROR="1").stderr
    assert list(tmp_path.iterdir()) == []


def results(folder: Path) -> dict[str, list[dict[str, float]]]:
    """The results of a study's runs, without their times."""
    timed = ("seconds", "per_second")
    return {
        path.parent.relative_to(folder).as_posix(): [
            {name: value for name, value in row.items() if not name.endswith(timed)}
            for row in RunDirectory(path.parent).read_epochs()
        ]
        for path in sorted(folder.rglob("run.json"))
    }


def test_a_sweeps_results_do_not_depend_on_its_order_or_its_launcher(ablate: Ablate, tmp_path: Path) -> None:
    sweep = ("-m", *QUICK, "hardware.threads=1")
    first = ablate(*sweep, "model=plain,dropout", "seed=0,1", "hydra.sweep.dir=first")
    assert first.returncode == 0, first.stderr
    assert first.stdout.count("test accuracy") == 4 * 2  # a line an epoch and a line a run
    assert first.stdout.splitlines()[-1].endswith("type: ablate report first")
    assert "first/dropout/seed1-" in first.stdout

    turned = ablate(*sweep, "seed=1,0", "model=dropout,plain", "hydra.sweep.dir=turned")
    joblib = ablate(
        *sweep, "model=plain,dropout", "seed=0,1", "hydra.sweep.dir=joblib", "hydra/launcher=joblib",
        "hydra.launcher.n_jobs=2",
    )  # fmt: skip
    assert turned.returncode == joblib.returncode == 0, turned.stderr + joblib.stderr
    expected = results(tmp_path / "first")
    assert len(expected) == 4
    assert expected == results(tmp_path / "turned") == results(tmp_path / "joblib")


def test_the_default_sweep_is_the_studys(ablate: Ablate, tmp_path: Path) -> None:
    done = ablate("-m", *QUICK, "seed=4")  # narrowed by the command line
    assert done.returncode == 0, done.stderr
    runs = [path.parent for path in (tmp_path / "outputs" / "demo").rglob("run.json")]
    assert sorted(run.parent.name for run in runs) == ["bn_dropout", "dropout", "plain"]
    for run in runs:
        assert run.name.startswith("seed4-")
        assert sorted(path.name for path in run.iterdir()) == [
            ".hydra", "checkpoint.pt", "epochs.csv", "run.json", "train.log",
        ]  # fmt: skip


def test_a_single_run_goes_to_the_same_place(ablate: Ablate, tmp_path: Path) -> None:
    assert ablate(*QUICK, "seed=1").returncode == 0
    again = ablate("-m", *QUICK, "model=plain", "seed=1")
    assert "plain seed 1 is complete already" in again.stdout
    assert len(list(tmp_path.rglob("run.json"))) == 1


def test_a_failed_run_ends_the_sweep_badly_but_not_early(ablate: Ablate, tmp_path: Path) -> None:
    done = ablate("-m", *QUICK, "model=plain", "optimizer=sgd", "optimizer.lr=1e30,0.01")
    assert done.returncode == 1
    assert "3 of 6 runs did not end well:\nrun " in done.stderr
    table = done.stderr.partition("did not end well:")[2].splitlines()
    assert [line.split()[1:3] for line in table[2:5]] == [["diverged", "1"]] * 3
    assert table[2].endswith("the loss is not finite after epoch 1; a smaller optimizer.lr may help")
    assert "Traceback" not in done.stderr
    assert "type: ablate report outputs/demo" in done.stdout
    records = [record_of(path.parent) for path in tmp_path.rglob("run.json")]
    assert sorted(record["status"] for record in records if record) == ["complete", "complete", "complete"] + 3 * [
        "diverged"
    ]
    log = next(path for path in tmp_path.rglob("train.log") if "Diverged" in path.read_text())
    assert "Traceback" in log.read_text()


def test_a_single_run_that_fails(ablate: Ablate) -> None:
    done = ablate(*QUICK, "optimizer=sgd", "optimizer.lr=1e30")
    assert done.returncode == 1
    assert "plain seed 0 failed: the loss is not finite after epoch 1" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("sweep", [(), ("-m", "seed=0,1")])
def test_a_file_where_a_folder_should_be(sweep: tuple[str, ...], ablate: Ablate, tmp_path: Path) -> None:
    file = tmp_path / "outputs"
    file.write_text("mine")
    done = ablate(*sweep, *QUICK)
    assert done.returncode == 2
    assert done.stderr == f"{file}: is not a folder, and the runs' folders would be in it; move it away\n"
    assert list(tmp_path.iterdir()) == [file]


def test_a_folder_that_cannot_be_written_to(ablate: Ablate, tmp_path: Path) -> None:
    folder = tmp_path / "outputs"
    folder.mkdir(mode=0o555)
    mounted = False
    if os.geteuid() == 0:  # whom permissions do not stop
        mount = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(folder)]
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
        if not mounted:
            pytest.skip("as root, only a read-only mount cannot be written to, and nothing can be mounted here")
    try:
        done = ablate(*QUICK)
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)
    assert done.returncode == 2
    assert done.stderr.startswith(f"{folder}: cannot be written to; choose another folder with hydra.sweep.dir=")


def test_a_reader_that_goes_away_stops_no_run(warm: Server, tmp_path: Path) -> None:
    command = f"{warm.shims(tmp_path / 'bin')}/python -m ablate {' '.join(QUICK)} | head -0"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run(command, shell=True, cwd=tmp_path, env=environment, check=True)
    (path,) = tmp_path.rglob("run.json")
    record = record_of(path.parent)
    assert record is not None and record["status"] == "complete"


def test_help_names_the_groups_without_torch(ablate: Ablate, tmp_path: Path) -> None:
    poison = tmp_path / "poison"
    poison.mkdir()
    (poison / "torch.py").write_text("raise ImportError('torch was imported')")
    done = ablate("--help", fresh=True, PYTHONPATH=f"{poison}:{Path(__file__).parents[2]}")
    assert done.returncode == 0, done.stderr
    assert "optimizer: adam, adamw, sgd\n" in done.stdout
    assert "scheduler: constant, cosine, one_cycle\n" in done.stdout
    listed = re.findall(r"^ {2}([a-z]+) {2,}\S", done.stdout.partition("Commands (")[2], re.MULTILINE)
    assert sorted(listed) == sorted(COMMANDS)


def test_the_configuration_is_printed(ablate: Ablate, tmp_path: Path) -> None:
    done = ablate("--cfg", "job", "--resolve", "model=bn_dropout", "train.epochs=3")
    assert done.returncode == 0, done.stderr
    cfg: dict[str, Any] = yaml.safe_load(done.stdout)
    assert cfg["train"]["epochs"] == 3
    assert list(cfg["model"]["edits"]) == ["drop3", "bn1"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("line", "offered"), [("optimizer=ad", "optimizer=adamw"), ("train.ep", "train.epochs=")])
def test_shell_completion(line: str, offered: str, ablate: Ablate) -> None:
    done = ablate("-sc", "query=bash", COMP_LINE=f"ablate {line}", COMP_POINT=str(len(line) + 7))
    assert offered in done.stdout.split()


def test_paths_are_from_where_the_command_was_typed(ablate: Ablate, tmp_path: Path) -> None:
    """Also where Hydra moves each job into its folder."""
    images = np.random.default_rng(0).integers(0, 256, (40, 32, 32), dtype=np.uint8)
    labels = np.arange(40) % 10
    (tmp_path / "data").mkdir()
    np.savez(
        tmp_path / "data" / "x.npz", train_images=images, train_labels=labels, test_images=images, test_labels=labels
    )
    own = ("study=own", "train.epochs=1", "train.batch_size=20", "hardware=cpu", "hydra.job.chdir=true")
    done = ablate(*own, "data=npz", "data.path=data/x.npz", "store=kept")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (tmp_path / "kept").rglob("run.json")] == ["run.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "kept", "outputs"]


def test_the_version_is_ours(capsys: pytest.CaptureFixture[str]) -> None:
    import ablate

    assert run_command(["--version"]) == 0
    assert capsys.readouterr().out == f"ablate {ablate.__version__}\n"


@pytest.mark.parametrize("arguments", ["--cfg job", "--help", "status"])
def test_a_reader_that_has_enough_ends_it_quietly(arguments: str, tmp_path: Path) -> None:
    (tmp_path / "outputs").mkdir()
    command = f"{{ sleep 0.1; {sys.executable} -m ablate {arguments}; echo $? > code; }} | true"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        command, shell=True, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
    )
    assert "BrokenPipe" not in done.stderr and "Exception ignored" not in done.stderr
    assert (tmp_path / "code").read_text().strip() in ("0", "2")


PASSWORD = "pass-of-mine"


def test_a_password_in_an_address_is_kept_nowhere(ablate: Ablate, tmp_path: Path) -> None:
    """Neither in a record, nor in Hydra's own files, nor in a log, nor on the screen."""
    address = f"http://me:{PASSWORD}@127.0.0.1:9/x"
    done = ablate("-m", *QUICK, "model=plain", "seed=0", "logger=mlflow", f"logger.mlflow.tracking_uri={address}",
                  "hydra/launcher=basic", MLFLOW_HTTP_REQUEST_MAX_RETRIES="0")  # fmt: skip
    assert done.returncode == 0, done.stderr
    files = [path for path in (tmp_path / "outputs").rglob("*") if path.is_file() and path.suffix != ".pt"]
    assert {"run.json", "train.log", "config.yaml", "overrides.yaml", "multirun.yaml"} <= {path.name for path in files}
    assert not [str(path) for path in files if PASSWORD in path.read_text()]
    assert PASSWORD not in done.stdout + done.stderr
    (record,) = (tmp_path / "outputs").rglob("run.json")
    assert "http://***@127.0.0.1:9/x" in record.read_text()
