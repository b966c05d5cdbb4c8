"""An edit in words, and what makes two of them equal; what is refused stands in test_validation.py."""

import pytest

from ablate.config.edits import KINDS, Edit, read_edits

DROPOUT = {"_target_": "torch.nn.Dropout", "p": 0.2}
PLACES = {
    "name": ({"at": "relu3"}, "relu3"),
    "pattern": ({"at": "block*.relu"}, "all of block*.relu"),
    "type": ({"type": "torch.nn.ReLU"}, "every ReLU"),
    "type in a part": ({"at": "features.**", "type": "torch.nn.ReLU"}, "every ReLU in features.**"),
}
WORDS = {
    "insert": "x = Dropout(p=0.2) after {}",
    "replace": "Dropout(p=0.2) in place of {}",
    "remove": "without {}",
    "bypass": "{} bypassed",
    "freeze": "{} frozen",
    "reinit": "{} re-initialised",
    "set": "{} with p=0.2, inplace=True",
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", KINDS)
def test_an_edit_in_words(kind: str, place: str) -> None:
    where, layers = PLACES[place]
    named = {
        "insert": {"insert": "after", "layer": DROPOUT, **where},
        "set": {"set": {"p": 0.2, "inplace": True}, **where},
    }
    raw = named.get(kind) or {
        kind: where.get("at", "**"),
        **{key: value for key, value in where.items() if key == "type"},
        **({"layer": DROPOUT} if kind == "replace" else {}),
    }
    edit = read_edits({"x": raw})["x"]
    assert edit.kind == kind
    assert edit.describe("x") == WORDS[kind].format(layers)
    assert "None" not in edit.describe("x")


def test_an_edit_without_arguments_in_words() -> None:
    edit = Edit(insert="before", at="c1", layer={"_target_": "torch.nn.LazyBatchNorm2d"})
    assert edit.describe("bn1") == "bn1 = LazyBatchNorm2d() before c1"


def test_edits_that_say_the_same_are_equal() -> None:
    one = Edit(insert="after", at="c1", layer={"_target_": "x.A", "p": 1, "q": 2})
    other = read_edits(
        {"e": {"layer": {"q": 2, "p": 1, "_target_": "x.A"}, "at": "c1", "insert": "after", "type": None}}
    )
    assert one == other["e"] and len({one, other["e"]}) == 1
    assert one != Edit(insert="before", at="c1", layer=one.layer)
    assert one != "after"


def test_an_edit_survives_as_plain_data() -> None:
    raw = {"set": {"p": 0.2, "inplace": True}, "at": "drop3"}
    assert read_edits({"e": raw})["e"].plain() == raw
