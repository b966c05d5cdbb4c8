from collections.abc import Callable

import pytest
import torch
from reading_runs import record_of

from ablate.config.schema import Config
from ablate.records import provenance
from ablate.training.hardware import choose_device, configured, describe


def test_auto_takes_the_fastest_there_is(compose: Callable[..., Config], monkeypatch: pytest.MonkeyPatch) -> None:
    for cuda, mps, expected in [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")]:
        monkeypatch.setattr("torch.cuda.is_available", lambda cuda=cuda: cuda)
        monkeypatch.setattr("torch.backends.mps.is_available", lambda mps=mps: mps)
        assert choose_device(compose().hardware).type == expected


def test_a_device_that_is_not_there_is_named(compose: Callable[..., Config], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ValueError, match=r"hardware.device=cuda: .* use hardware=cpu"):
        choose_device(compose("hardware=cuda").hardware)
    with pytest.raises(ValueError, match=r"hardware.precision=tf32: needs a CUDA GPU, and this run is on cpu"):
        choose_device(compose("hardware=cpu", "hardware.precision=tf32").hardware)


def test_settings_last_as_long_as_the_run(compose: Callable[..., Config]) -> None:
    threads = torch.get_num_threads()
    options = compose("hardware=cpu", "hardware.threads=1", "hardware.deterministic=true").hardware
    with pytest.raises(RuntimeError, match="the run fails"), configured(options) as device:
        assert torch.get_num_threads() == 1
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.backends.cuda.matmul.fp32_precision == "ieee"
        described = describe(provenance.collect(), device)
        assert (described.device, described.accelerator, described.threads) == ("cpu", "cpu", 1)
        raise RuntimeError("the run fails")
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU on this machine")
def test_a_run_on_the_gpu_learns(train_one: Callable[..., object], quick: Callable[..., Config]) -> None:

    folder = train_one("hardware=cuda", "train.epochs=4", "model=bn_dropout")
    record = record_of(folder)  # type: ignore[arg-type]
    assert record is not None
    assert record["provenance"]["device"] == "cuda"
    assert record["results"]["train_loss"]["final"] < record["results"]["train_loss"]["maximum"]
