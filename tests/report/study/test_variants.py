"""Which runs are one variant, and what it is called."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ablate.report.study.variants import group, parse_label


def config(name: str, lr: float = 0.001, optimizer: str = "Adam", seed: int = 0, **edits: Any) -> dict[str, Any]:
    return {
        "seed": seed,
        "model": {"name": name, "base": {"_target_": "x.Net"}, "edits": edits},
        "optimizer": {"_target_": f"torch.optim.{optimizer}", "lr": lr},
    }


def dropout(p: float, at: str = "relu3") -> dict[str, Any]:
    return {"insert": "after", "at": at, "layer": {"_target_": "torch.nn.Dropout2d", "p": p}}


def labels(configs: dict[str, dict[str, Any]], overrides: dict[str, list[str]]) -> dict[str, str]:
    return {run: variant.label for run, variant in group(configs, overrides).items()}


def test_what_was_typed_and_differs_is_the_label() -> None:
    configs = {
        "plain": config("plain"),
        "lr": config("plain", lr=3e-4),
        "sgd": config("plain", lr=0.1, optimizer="SGD"),
        "dropout": config("dropout", drop3=dropout(0.5)),
        "p": config("dropout", drop3=dropout(0.3)),
        "with": config("plain", drop5=dropout(0.2, "relu5")),
        "without": config("dropout"),
    }
    overrides = {
        "lr": ["model=plain", "optimizer.lr=3e-4"],
        "sgd": ["optimizer=sgd"],
        "p": ["model=dropout", "model.edits.drop3.layer.p=0.3"],
        "with": ["+model.edits.drop5={insert: after}"],
        "without": ["~model.edits.drop3"],
    }
    assert labels(configs, overrides) == {
        "plain": "plain",
        "lr": "plain (lr=0.0003)",
        "sgd": "plain (optimizer=sgd)",
        "dropout": "dropout",
        "p": "dropout (p=0.3)",
        "with": "plain (with drop5)",
        "without": "dropout (without drop3)",
    }


def test_what_all_runs_were_given_is_no_label() -> None:
    configs = {"a": config("plain", lr=0.1), "b": config("dropout", lr=0.1, drop3=dropout(0.5))}
    typed = {run: ["optimizer.lr=0.1"] for run in configs}
    assert labels(configs, typed) == {"a": "plain", "b": "dropout"}


def test_how_a_run_came_about_is_no_label() -> None:
    started = {"rerun": "failed", "allow": [], "train": {"max_retries": 0}, "hardware": {"rewrite": True, "threads": 1}}
    again = {"rerun": "all", "allow": ["x"], "train": {"max_retries": 2}, "hardware": {"rewrite": False, "threads": 2}}
    configs = {
        "first": config("plain") | started,
        "again": config("plain", seed=1) | again,
        "old": config("plain", seed=2),
    }
    overrides = {"again": ["rerun=all", "train.max_retries=2", "allow=[x]", "hardware.rewrite=false"]}
    assert set(labels(configs, overrides).values()) == {"plain"}


def test_a_value_that_was_typed_and_is_the_default_makes_no_second_variant() -> None:
    configs = {
        "default": config("dropout", seed=0, drop3=dropout(0.5)),
        "typed": config("dropout", seed=1, drop3=dropout(0.5)),
        "other": config("dropout", drop3=dropout(0.3)),
    }
    typed = {"typed": ["model.edits.drop3.layer.p=0.5"], "other": ["model.edits.drop3.layer.p=0.3"]}
    assert labels(configs, typed) == {"default": "dropout", "typed": "dropout", "other": "dropout (p=0.3)"}


def test_where_nothing_was_typed_all_that_differs_is_said() -> None:
    configs = {"old": config("dropout", drop3=dropout(0.4)), "new": config("dropout", drop3=dropout(0.5))}
    assert labels(configs, {}) == {"old": "dropout (p=0.4)", "new": "dropout (p=0.5)"}


def test_insertions_in_another_order_are_another_variant() -> None:
    one, other = dropout(0.1), dropout(0.2)
    found = labels({"a": config("m", x=one, y=other), "b": config("m", y=other, x=one)}, {})
    assert len(set(found.values())) == 2


def test_how_a_run_was_computed_makes_no_second_variant() -> None:
    """Runs of two seeds that differ in what is not part of their identity are one variant."""
    first = config("plain") | {"data": {"workers": 2, "stream": False}, "hardware": {"deterministic": False}}
    again = config("plain", seed=1) | {"data": {"workers": 4, "stream": True}, "hardware": {"deterministic": True}}
    typed = {"again": ["data.workers=4", "data.stream=true", "hardware.deterministic=true"]}
    assert labels({"first": first, "again": again}, typed) == {"first": "plain", "again": "plain"}


def test_numbers_that_are_one_run_are_one_variant() -> None:
    whole, point = config("dropout", drop3=dropout(1)), config("dropout", seed=1, drop3=dropout(1.0))
    typed = {"point": ["model.edits.drop3.layer.p=1.0"]}
    assert set(labels({"whole": whole, "point": point}, typed).values()) == {"dropout"}


def test_a_variant_in_words() -> None:
    pool = {"replace": "s4", "layer": {"_target_": "torch.nn.AvgPool2d"}}
    configs = {
        "a": config("m", drop3=dropout(0.5), s2={"remove": "s2"}, pool=pool),
        "b": config("plain", lr=0.1),
    }
    found = group(configs, {})
    assert found["a"].describe() == (
        "drop3 = Dropout2d(p=0.5) after relu3; without s2; AvgPool2d() in place of s4; lr = 0.001"
    )
    assert found["b"].describe() == "lr = 0.1"


@given(
    st.lists(
        st.builds(
            lambda name, lr, p, seed: config(name, lr, seed=seed, **({} if p is None else {"drop3": dropout(p)})),
            st.sampled_from(["plain", "dropout"]),
            st.sampled_from([0.1, 0.01]),
            st.sampled_from([None, 0.1, 0.5]),
            st.integers(0, 3),
        ),
        max_size=8,
    ),
    st.lists(
        st.lists(
            st.sampled_from(["optimizer.lr=0.1", "model.edits.drop3.layer.p=0.5", "model=plain", "~model.edits.drop3"]),
            max_size=3,
        ),
        min_size=8,
        max_size=8,
    ),
)
def test_runs_share_a_label_exactly_if_they_differ_by_their_seed_alone(
    configs: list[dict[str, Any]], typed: list[list[str]]
) -> None:
    runs = {str(number): one for number, one in enumerate(configs)}
    overrides = {str(number): given for number, given in enumerate(typed)}
    found = labels(runs, overrides)
    for run, one in runs.items():
        for other_run, other in runs.items():
            same = {**one, "seed": 0} == {**other, "seed": 0}
            assert (found[run] == found[other_run]) == same
    backwards = labels(dict(reversed(runs.items())), overrides)
    assert backwards == found


def test_labels_are_read_back() -> None:
    assert parse_label("dropout (p=0.3, lr=0.1)") == ("dropout", {"p": "0.3", "lr": "0.1"})
    assert parse_label("plain") == ("plain", {})
