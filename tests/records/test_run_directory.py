import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reading_runs import example_json, example_record

from ablate.files import atomic_write
from ablate.records.epochs import Result, summarise, total_times
from ablate.records.run_directory import RunDirectory

ROW = {"epoch": 1, "lr": 0.1, "test_loss": 2.0, "train_seconds": 3.0, "eval_seconds": 1.0, "data_seconds": 0.5}


def test_a_record_comes_back(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    assert directory.read_record() is None
    record = example_record(cohort=3, stale=["torch 1, now 2"])
    directory.write_record(record)
    assert directory.read_record() == record
    expected = example_json(cohort=3, stale=["torch 1, now 2"], overrides=[], starts=[])
    expected["model"]["layers"] = {}
    assert json.loads(directory.record_file.read_text()) == expected
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=5))
def test_epochs_come_back_bit_for_bit(values: list[float]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        directory = RunDirectory(Path(folder))
        assert directory.read_epochs() == []
        rows = [{"epoch": float(epoch), "loss": value} for epoch, value in enumerate(values)]
        directory.write_epochs(rows)
        assert directory.read_epochs() == rows


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"format": 99, "status": "complete"}', '{"format": 1}'])
def test_what_is_no_record_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(ValueError, match=r"run\.json"):
        RunDirectory(tmp_path).read_record()


@pytest.mark.parametrize("content", [b"epoch,loss\n1,abc\n", b"epoch,loss\n1\n", b"epoch\n\xff\n"])
def test_what_is_no_table_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "epochs.csv").write_bytes(content)
    with pytest.raises(ValueError, match=r"epochs\.csv"):
        RunDirectory(tmp_path).read_epochs()


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    record = example_record()
    directory.write_record(record)
    with pytest.raises(TypeError, match="not JSON serializable"):
        directory.write_record(replace(record, config={**record.config, "value": object()}))
    assert json.loads(directory.record_file.read_text())["status"] == "running"
    with pytest.raises(RuntimeError), atomic_write(tmp_path / "new", "wb") as file:
        file.write(b"half")
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_summary_by_hand() -> None:
    losses = [2.0, 1.0, 1.5]
    rows = [{**ROW, "epoch": epoch, "test_loss": loss} for epoch, loss in enumerate(losses, start=1)]
    assert summarise(rows) == {
        "test_loss": Result(final=1.5, maximum=2.0, maximum_epoch=1, minimum=1.0, minimum_epoch=2)
    }
    assert total_times(rows) == {
        "train_seconds": 9.0,
        "eval_seconds": 3.0,
        "data_seconds": 1.5,
        "total_seconds": 13.5,
    }
