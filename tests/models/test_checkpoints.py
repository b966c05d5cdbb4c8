"""Weights out of files."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from ablate.config.identity import run_id
from ablate.config.schema import Config
from ablate.models.checkpoints import load_weights
from ablate.models.lenet import lenet5
from ablate.runs.prepare import prepare

Compose = Callable[..., Config]


@pytest.fixture
def saved() -> dict[str, Tensor]:
    torch.manual_seed(5)
    return {name: value.contiguous() for name, value in lenet5().state_dict().items()}


def test_every_form_of_file_gives_the_same_weights(saved: dict[str, Tensor], tmp_path: Path) -> None:
    average = {"n_averaged": torch.tensor(2), **{f"module.{name}": value for name, value in saved.items()}}
    not_yet = {"n_averaged": torch.tensor(0), **{f"module.{name}": value + 1 for name, value in saved.items()}}
    wrong = {name: value + 1 for name, value in saved.items()}
    forms = [saved, {"state_dict": saved}, {"model": saved, "average": not_yet}, {"model": wrong, "average": average}]
    for number, form in enumerate(forms):
        torch.save(form, tmp_path / f"{number}.pt")
    save_file(saved, tmp_path / "0.safetensors")
    for file in tmp_path.iterdir():
        model = lenet5()
        load_weights(model, str(file), ())
        assert all(torch.equal(value, saved[name]) for name, value in model.state_dict().items()), file.name


def test_a_run_starts_from_a_file_and_is_known_by_its_content(
    saved: dict[str, Tensor], quick: Compose, tmp_path: Path
) -> None:
    files = [tmp_path / name for name in ("a.pt", "b.pt", "c.pt")]
    torch.save(saved, files[0])
    files[1].write_bytes(files[0].read_bytes())  # torch writes a file's own name into it
    torch.save({**saved, "c1.bias": saved["c1.bias"] + 1}, files[2])
    one, same, other = (quick(f"model.weights={file}") for file in files)
    assert run_id(one) == run_id(same) != run_id(other) and run_id(one) != run_id(quick())
    prepared = prepare(
        quick(f"model.weights={files[0]}", "+model.edits.head={reinit: f7}", "+model.edits.c={freeze: c1}")
    )
    model, record = prepared.trainee.model.state_dict(), prepared.variant.record
    assert torch.equal(model["f6.weight"], saved["f6.weight"]) and not torch.equal(
        model["f7.weight"], saved["f7.weight"]
    )
    assert list(record.files) == [str(files[0])]
    assert (record.after.parameters, record.after.trainable) == (62_006, 62_006 - 456)
    torch.save({**saved, "c1.bias": saved["c1.bias"] + 1}, files[0])
    with pytest.raises(ValueError, match=r"model.weights=.*: is another file now"):
        prepare(one)


def test_what_does_not_fit_is_refused(saved: dict[str, Tensor], tmp_path: Path) -> None:
    def loaded(content: object, *but: str) -> None:
        torch.save(content, tmp_path / "w.pt")
        load_weights(lenet5(), str(tmp_path / "w.pt"), but)

    renamed = {name.replace("c1.", "c11."): value for name, value in saved.items()}
    with pytest.raises(ValueError, match=r"has no c1.weight; did you mean c11.weight .*head|reinit: c1"):
        loaded(renamed)
    with pytest.raises(ValueError, match=r"has c9.bias, which the model has not; did you mean"):
        loaded({**saved, "c9.bias": torch.zeros(1)})
    fewer = {**saved, "f7.weight": torch.zeros(3, 84), "f7.bias": torch.zeros(3)}
    with pytest.raises(ValueError, match=r"f7.weight has the shape \(3, 84\) there and \(10, 84\)"):
        loaded(fewer)
    loaded(fewer, "f7")
    with pytest.raises(ValueError, match="is no file of weights alone"):
        loaded(lenet5())
    with pytest.raises(ValueError, match="holds no weights by name"):
        loaded([1, 2])
