"""What is inferred of runs of others, and what is refused with the way out."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from ablate.sources.inference import JOB, Inferred, infer
from ablate.sources.into_records import into_records
from ablate.sources.logged_run import LoggedRun, Wanted, metric_names

Rows = Sequence[Mapping[str, float]]
LOGGED = [{"val/acc": 0.5, "train/loss": 2.0}, {"val/acc": 0.6, "train/loss": 1.0}]


def job(name: str, history: Rows = LOGGED, why: str = "", status: str = "", **fields: Any) -> LoggedRun:
    """A job of Hydra; the fields were overridden but for those whose names begin with `_`."""
    plain = {key.removeprefix("_").replace("__", "."): value for key, value in fields.items()}
    chosen = [key.replace("__", ".") for key in fields if key[0] != "_"]
    return LoggedRun(name, status, "2026-01-01", {JOB: "train", **plain}, history, chosen, why)


def sweep(history: Rows = LOGGED, **fields: Any) -> list[LoggedRun]:
    cells = [(model, seed) for model in ("plain", "wide") for seed in ("1", "2")]
    return [job(str(n), history, **{"model": m, "seed": s, **fields}) for n, (m, s) in enumerate(cells)]


def inferred(runs: Sequence[LoggedRun], *metrics: str, **said: Any) -> Inferred:
    found = infer(runs, Wanted(metrics=metric_names(metrics), **said))
    into_records(found.runs, "study", "hydra", found.wanted)
    return found


def refusal(runs: Sequence[LoggedRun], *metrics: str, **said: Any) -> str:
    with pytest.raises(ValueError, match=r".") as error:
        inferred(runs, *metrics, **said)
    return str(error.value)


def test_a_sweep_over_models_and_seeds() -> None:
    wanted = inferred(sweep()).wanted
    assert (wanted.variant, wanted.seed, wanted.settings, wanted.baseline) == ("model", "seed", [], "plain")
    assert wanted.metrics == {"val_acc": "val/acc", "train_loss": "train/loss"}


def test_values_alone_make_settings_of_the_app() -> None:
    runs = [job(f"{lr}{s}", optimizer__lr=lr, seed=s, trainer="cpu") for lr in ("0.1", "0.01") for s in ("1", "2")]
    found = inferred(runs)
    assert (found.wanted.variant, found.wanted.settings) == (JOB, ["optimizer.lr"])
    assert ("setting", "optimizer.lr: 0.1, 0.01") in found.said


def test_seeds_that_are_one_are_one_and_others_are_refused() -> None:
    runs = [job(s, model="plain", seed=s, _data__seed=s) for s in ("1", "2")]
    assert inferred(runs).wanted.seed == "seed"
    runs = [job(a + b, model="plain", seed=a, data__seed=b) for a in "12" for b in "34"]
    text = refusal(runs)
    assert "2 keys look like seeds, seed (1, 2); data.seed (3, 4)" in text and "--seed seed" in text
    assert inferred(runs, seed="seed").wanted.settings == ["data.seed"]


def test_no_seed_is_refused_and_repetitions_are_not_paired() -> None:
    runs = [job(f"{m}{n}", model=m, _seed=None, trial=str(n)) for m in ("a", "b") for n in range(2)]
    text = refusal(runs)
    assert "none of 4 runs says its seed (seed is empty in all)" in text and "choose from model, trial" in text
    assert inferred(runs, seed="trial").wanted.settings == []
    assert inferred(sweep(), seed="none").wanted.settings == []
    found = inferred(runs, seed="none", settings=[])
    records = [record for record, _ in into_records(found.runs, "s", "hydra", found.wanted)]
    assert [record.seed for record in records] == [0, 1, 0, 1]
    assert {record.study_options["pairing"] for record in records} == {"unpaired"}


def test_a_run_without_a_seed_beside_others_is_left_out() -> None:
    found = inferred([*sweep(), job("4", model="wide", seed=None)])
    assert ("left out", "4: says no model or seed") in found.said and len(found.runs) == 4


def test_several_data_sets_are_refused_unless_it_is_said() -> None:
    runs = [*sweep(data="cifar10"), *(job(f"s{run.name}", **{**run.fields, "data": "svhn"}) for run in ())]
    runs += [
        job(f"s{n}", model=m, seed=s, data="svhn")
        for n, (m, s) in enumerate((m, s) for m in ("plain", "wide") for s in "12")
    ]
    text = refusal(runs)
    assert "several data sets, data=cifar10 (4), data=svhn (4)" in text and "--only data=cifar10" in text
    assert len(inferred(runs, only={"data": "svhn"}).runs) == 4
    assert inferred(runs, variant="model", settings=["data"]).wanted.settings == ["data"]
    assert "no run is left of 8; there are data: cifar10, svhn" in refusal(runs, only={"data": "mnist"})


@pytest.mark.parametrize("name", ["dataset", "data.name", "datamodule", "dataset_name"])
def test_what_a_data_set_is_called(name: str) -> None:
    runs = [job(f"{d}{s}", **{name.replace(".", "__"): d, "seed": s}) for d in "ab" for s in "12"]
    assert f"several data sets, {name}=a (2)" in refusal(runs)
    assert inferred(runs, only={name: "a"})


def test_a_default_that_was_changed_makes_variants() -> None:
    runs = sweep(_optimizer__lr="0.1")
    runs[3] = job("3", model="wide", seed="2", _optimizer__lr="0.2")
    assert inferred(runs).wanted.settings == ["optimizer.lr"]
    assert inferred(runs, variant="model").wanted.settings == []


def test_one_metric_of_two_names_is_refused() -> None:
    runs = sweep()
    runs[2:] = [job(n, [{"val_accuracy": 0.7}], model="wide", seed=s) for n, s in (("2", "1"), ("3", "2"))]
    text = refusal(runs)
    assert (
        "val/acc was logged by 0, 1, and val_accuracy by 2, 3" in text
        and "--metric val_acc=val/acc,val_accuracy" in text
    )
    found = inferred(runs, "val_acc=val/acc,val_accuracy", shorter="count")
    assert [run.history[-1]["val/acc,val_accuracy"] for run in found.runs] == [0.6, 0.6, 0.7, 0.7]


def test_metrics_whose_names_say_nothing_have_to_be_named() -> None:
    assert "--metric: say which to compare; choose from a, b" in refusal(sweep([{"a": 1.0, "b": 2.0}]))
    found = inferred(sweep([{"a": 1.0}]))
    assert ("metric", "a (its name does not say which way is better)") in found.said
    assert ("not taken", "lr") in inferred(sweep([{"loss": 1.0, "lr": 0.1}])).said


def test_the_metric_of_the_study() -> None:
    both = [
        {"val/acc": 0.5, "val/acc_best": 0.5, "val/loss": 1.0},
        {"val/acc": 0.6, "val/acc_best": 0.6, "val/loss": 0.9},
    ]
    tested = [*both, {"test/acc": 0.4, "test/loss": 2.0}]
    assert next(iter(inferred(sweep(tested)).wanted.metrics)) == "test_acc"
    assert next(iter(inferred(sweep(both)).wanted.metrics)) == "val_acc"
    runs = [*sweep(tested)[:3], job("3", both, model="wide", seed="2")]
    found = inferred(runs)
    assert next(iter(found.wanted.metrics)) == "val_acc" and ("note", "3 of 4 runs have test/acc") in found.said
    assert list(inferred(sweep([{"test_accuracy": 61.0}])).wanted.metrics) == ["test_acc"], "no share"


def test_jobs_that_have_not_ended() -> None:
    runs = [
        *sweep(),
        job("4", LOGGED[:1], model="wide", seed="3"),
        job("5", [], status="failed", why="no metrics", model="wide", seed="4"),
    ]
    said = inferred(runs).said
    assert ("left out", "4: interrupted: 1 of 2 epochs") in said and ("left out", "5: failed: no metrics") in said
    stopped = [
        job(
            run.name,
            run.history,
            **{f"_{key}".replace(".", "__"): v for key, v in run.fields.items() if key != JOB},
            _callbacks__early_stopping__patience="3",
        )
        for run in runs[:5]
    ]
    stopped = [LoggedRun(run.name, "", run.started, {**run.fields}, run.history, ["model", "seed"]) for run in stopped]
    assert len([run for run in inferred(stopped).runs if run.status == "complete"]) == 5
    planned = [
        *sweep(_trainer__max_epochs="2"),
        *(job(f"s{s}", LOGGED[:1], model="short", seed=s, _trainer__max_epochs="1") for s in "12"),
    ]
    assert all(run.status == "complete" for run in inferred(planned, variant="model").runs)
    assert "no run is complete: 0: x" in refusal([job("0", [], status="failed", why="x", seed="1")])


def test_a_job_that_was_run_again_counts_once_and_two_results_are_refused() -> None:
    again = [
        job("0", LOGGED[:1], model="plain", seed="1"),
        *(job(f"{n}b", model=run.fields["model"], seed=run.fields["seed"]) for n, run in enumerate(sweep())),
    ]
    found = inferred(again)
    records = [record for record, _ in into_records(found.runs, "s", "hydra", found.wanted)]
    assert len(records) == 4 and all(record.is_complete for record in records)
    assert "0 and 0b are both plain with seed 1" in refusal([*sweep(), *again[1:]])


def test_the_epochs_of_a_metric_that_is_logged_once_are_those_of_the_others() -> None:
    found = inferred(sweep([*LOGGED, {"test/acc": 0.55}]))
    _, rows = into_records(found.runs, "s", "hydra", found.wanted)[0]
    assert [row["val_acc"] for row in rows] == [0.5, 0.6] and rows[-1]["test_acc"] == 0.55
