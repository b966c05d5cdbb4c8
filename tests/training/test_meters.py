import mmap
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from reading_runs import record_of, results_of

from ablate.__main__ import run_command
from ablate.records.run_directory import RunDirectory
from ablate.training import meters
from ablate.training.meters import Energy, PeakMemory

CPU = torch.device("cpu")
LINUX = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks of the process are Linux's")
GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU on this machine")
MIB = 2**20


@LINUX
def test_peak_memory_is_of_the_epoch_alone() -> None:
    meter = PeakMemory()
    meter.prepare(CPU)
    meter.start()
    before = meter.stop()
    meter.start()
    with mmap.mmap(-1, 256 * MIB) as block:  # pages of its own: torch's allocator may have as much left from before
        block.write(bytes(256 * MIB))
    assert meter.stop() > before + 200 * MIB
    meter.start()
    assert meter.stop() < before + 100 * MIB


@GPU
def test_peak_memory_of_a_gpu_is_what_torch_allocated() -> None:
    meter, device = PeakMemory(), torch.device("cuda", 0)
    meter.prepare(device)
    meter.start()
    before = torch.cuda.memory_allocated(device)
    block = torch.empty(64 * MIB, dtype=torch.uint8, device=device)
    del block
    assert meter.stop() == before + 64 * MIB


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a driver")
def test_a_gpu_without_a_driver_is_said() -> None:
    with pytest.raises(ValueError, match=r"NVML does not report the energy of cuda:0: NVML Shared Library Not Found"):
        Energy().prepare(torch.device("cuda", 0))


@GPU
def test_energy_of_a_gpu() -> None:
    meter, device = Energy(), torch.device("cuda", 0)
    meter.prepare(device)
    meter.start()
    block = torch.ones(4096, 4096, device=device)
    for _ in range(500):
        block = block @ block / 4096
    torch.cuda.synchronize()
    assert meter.stop() > 0


@pytest.fixture
def rapl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two packages and a part of one, as Linux shows them."""
    for name, energy in {"intel-rapl:0": 900, "intel-rapl:1": 5_000_000, "intel-rapl:0:0": 77}.items():
        zone = tmp_path / "powercap" / name
        zone.mkdir(parents=True)
        (zone / "energy_uj").write_text(f"{energy}\n")
        (zone / "max_energy_range_uj").write_text("262143328850\n")
    monkeypatch.setattr(meters, "_RAPL", tmp_path / "powercap")
    return tmp_path / "powercap"


def test_energy_of_a_processor_is_that_of_its_packages(rapl: Path) -> None:
    meter = Energy()
    meter.prepare(CPU)
    meter.start()
    for name, energy in {"intel-rapl:0": 2_000_900, "intel-rapl:1": 1_000_000, "intel-rapl:0:0": 99}.items():
        (rapl / name / "energy_uj").write_text(f"{energy}\n")
    # Two joules of the first; the counter of the second has begun anew.
    assert meter.stop() == pytest.approx(2 + (262143328851 - 5_000_000 + 1_000_000) / 1e6)


def test_energy_is_that_of_all_epochs(train_one: Callable[..., Path], rapl: Path) -> None:
    folder = train_one("metrics=energy", "study.metric=energy")
    rows = results_of(folder)
    assert [row["energy"] for row in rows] == [0.0, 0.0]
    rows = [
        {**row, "energy": joules} for row, joules in zip(RunDirectory(folder).read_epochs(), (2.0, 3.0), strict=True)
    ]
    from ablate.records.epochs import Result, summarise

    assert summarise(rows)["energy"] == Result(final=5.0, maximum=3.0, maximum_epoch=2, minimum=2.0, minimum_epoch=1)


def test_what_is_not_reported_is_said(train_one: Callable[..., Path], tmp_path: Path, rapl: Path) -> None:
    for zone in rapl.iterdir():
        zone.rename(tmp_path / f"away {zone.name}")
    with pytest.raises(ValueError, match=re.escape("metrics.energy: energy is not reported here (cpu): CUDA GPUs do")):
        train_one("metrics=energy")
    with pytest.raises(ValueError, match=re.escape("metrics.memory: a meter is called peak_memory or energy")):
        train_one("+metrics.memory={_target_: ablate.training.meters.PeakMemory}")


@LINUX
@pytest.mark.usefixtures("undrawn")
def test_memory_parameters_and_flops_in_claims_and_tables(train_one: Callable[..., Path], tmp_path: Path) -> None:
    study = tmp_path / "outputs" / "demo"
    for name in ("plain", "bn"):
        for seed in (0, 1):
            train_one("metrics=memory", f"model={name}", f"seed={seed}", folder=f"outputs/demo/{name}/seed{seed}-0")
    assert record_of(study / "bn" / "seed0-0")["results"]["peak_memory"]["final"] > 50 * MIB
    (tmp_path / "claims.yaml").write_text("""
study:
  claims:
    - {id: more_parameters, statement: It has more parameters., expect: bn > plain, metric: parameters}
    - {id: as_many, statement: It has nearly as many., expect: bn = plain within 20, metric: parameters}
    - {id: more_flops, statement: It computes more., expect: bn > plain, metric: flops}
    - {id: more_memory, statement: It takes at most half as much again., expect: bn < plain, metric: peak_memory}
""")
    run_command(["report", str(study), "--study", str(tmp_path / "claims.yaml")])
    page = (study / "report" / "report.md").read_text(encoding="utf-8").replace("\\", "")
    assert "**Supported:** It has more parameters. (bn > plain: +12)" in page  # a weight and a bias a channel
    assert "**Supported:** It has nearly as many. (bn = plain within 20: +12)" in page
    assert "bn > plain: +0" in page and "**Refuted:** It computes more." in page
    assert "Peak memory over seeds." in page and "MiB" in page
    assert "Difference to the baseline in peak memory" in page
