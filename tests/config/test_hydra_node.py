"""A folder of options from somebody else, by each way that Hydra could be made to run what it says."""

import logging
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ablate.__main__ import run_command

QUICK = ("data.subset=30", "train.epochs=1", "train.batch_size=64", "hardware=cpu")
HEAD = "# @package _global_\ndefaults: [demo]\n"


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Writes a study of somebody else's, beside a module that leaves a trace when it is imported or called."""
    (tmp_path / "trap5.py").write_text(
        "import logging, pathlib\n"
        "def touch(*args, **kwargs): pathlib.Path(__file__).with_name('executed').touch()\n"
        "class Handler(logging.NullHandler):\n"
        "    def __init__(self, *args, **kwargs): super().__init__(); touch()\n"
        "touch()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOKEN_OF_MINE", "the-secret")
    monkeypatch.setenv("plain", "the-secret")
    monkeypatch.setattr(sys, "argv", ["ablate"])
    (tmp_path / "theirs" / "study").mkdir(parents=True)
    return lambda text: (tmp_path / "theirs" / "study" / "x.yaml").write_text(HEAD + text) and None


ATTACKS = [
    "hydra: {callbacks: {x: {_target_: trap5.touch}}}",
    "hydra: {callbacks: {preflight: {_target_: trap5.touch}}}",
    "hydra: {callbacks: {preflight: null}}",
    "hydra: {callbacks: {x: {_target_: hydra.experimental.callbacks.PickleJobInfoCallback}}}",
    "hydra: {launcher: {_target_: trap5.touch}}",
    "hydra: {sweeper: {_target_: trap5.touch}}",
    "hydra: {job_logging: {handlers: {x: {(): trap5.touch}}}}",
    "hydra: {job_logging: {handlers: {x: {class: trap5.Handler}}, root: {handlers: [x]}}}",
    "hydra: {hydra_logging: {handlers: {x: {(): trap5.touch}}}}",
    "hydra: {hydra_logging: {formatters: {console: {(): trap5.touch}}}}",
    "hydra: {job_logging: {handlers: {file: {filename: executed}}}}",
    "hydra: {job: {env_set: {PATH: /theirs}}}",
    "hydra: {job: {name: executed}}",
    "hydra: {run: {dir: executed}, sweep: {dir: executed}}",
    "hydra: {output_subdir: executed}",
    "hydra: {sweeper: {params: {hydra.job.env_set.PATH: theirs}}}",
    "hydra: {sweeper: {params: {+hydra.job_logging.handlers.x: '{class: trap5.Handler}'}}}",
    "hydra: {sweeper: {params: {allow: '[trap5]', model.base._target_: trap5.touch}}}",
    "allow: [trap5]\nmodel: {base: {_target_: trap5.touch}}",
    "study: {title: '${oc.env:TOKEN_OF_MINE}'}",
    "logger: {mlflow: {_target_: ablate.trackers.mlflow.MLflow, tracking_uri: 'http://theirs/${oc.env:TOKEN_OF_MINE}'}}",
    "study: {title: '${oc.env:${model.name}}'}",
]


@pytest.mark.parametrize("sweep", [False, True])
@pytest.mark.parametrize("text", ATTACKS)
def test_what_a_file_says_of_hydra_is_not_done(
    text: str, sweep: bool, theirs: Callable[[str], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs(text)
    command = [
        "--config-dir",
        "theirs",
        *(["-m"] if sweep else []),
        "study=x",
        *QUICK,
        *(["seed=0,1"] if sweep else []),
    ]
    if not sweep and "params" in text:
        return  # which are of sweeps
    assert run_command(command) == 2
    message = capsys.readouterr().err
    assert (
        re.match(r"hydra\.|allow: |.*oc\.env", message) and "Traceback" not in message and "the-secret" not in message
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["theirs", "trap5.py"]


@pytest.mark.parametrize("text", [text for text in ATTACKS if "job" in text and "params" not in text])
def test_nor_is_it_where_a_sweep_is_over_studies(
    text: str, theirs: Callable[[str], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs(text)
    assert run_command(["--config-dir", "theirs", "-m", "study=demo,x", *QUICK, "model=plain", "seed=0"]) == 2
    assert "a job of a sweep cannot change it" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["theirs", "trap5.py"]


@pytest.mark.parametrize("flag", [["--help"], ["--hydra-help"], ["--cfg", "hydra"], ["--info", "all"]])
def test_nor_where_nothing_is_to_be_run(
    flag: list[str], theirs: Callable[[str], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs("hydra: {hydra_logging: {handlers: {x: {(): trap5.touch}}}}")
    assert run_command([*flag, "--config-dir", "theirs", "study=x"]) == 2
    assert "hydra.hydra_logging.handlers.x.(): is 'trap5.touch' by a file" in capsys.readouterr().err
    assert not (tmp_path / "executed").exists()


@pytest.mark.filterwarnings(r"ignore:\s.*validated against ConfigStore:UserWarning")
def test_an_option_of_hydras_own_groups_is_not_theirs(
    theirs: Callable[[str], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs("")
    for group, name in (("launcher", "cohort"), ("callbacks", "mine"), ("job_logging", "mine"), ("sweeper", "basic")):
        folder = tmp_path / "theirs" / "hydra" / group
        folder.mkdir(parents=True)
        (folder / f"{name}.yaml").write_text("x: {_target_: trap5.touch}\n_target_: trap5.touch\n")
        assert run_command(["--config-dir", "theirs", "study=x", f"hydra/{group}={name}", *QUICK]) == 2
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    "override",
    ["hydra.callbacks.preflight=null", "~hydra.callbacks.preflight", "~hydra.callbacks", "hydra.callbacks={}"],
)
def test_the_checks_cannot_be_switched_off(
    override: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command(["-m", override, "study=demo", *QUICK, "model.base._target_=os.system"]) == 2
    assert capsys.readouterr().err and not list(tmp_path.iterdir())


def test_a_pickle_is_not_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.pickle").write_bytes(b"cos\nsystem\n(S'touch executed'\ntR.")
    assert run_command(["--experimental-rerun", "config.pickle"]) == 2
    assert "would load a pickle" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["config.pickle"]


def test_what_is_harmless_or_typed_is_done(
    theirs: Callable[[str], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs(
        "study: {name: x}\nhydra: {verbose: false, sweeper: {max_batch_size: 4, params: {model: plain, seed: '0,1'}}}"
    )
    typed = (
        "study.title=${oc.env:TOKEN_OF_MINE}",
        "hydra.sweep.dir=here",
        "hydra/launcher=cohort",
        "hydra.launcher.processes=1",
        "hydra.verbose=false",
    )
    assert run_command(["--config-dir", "theirs", "-m", "study=x", *QUICK, *typed]) == 0, capsys.readouterr().err
    assert len([*(tmp_path / "here").rglob("run.json")]) == 2
    logging.shutdown()
