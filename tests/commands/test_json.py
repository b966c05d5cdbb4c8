"""What commands print for programs, and the schemas that describe it."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from ablate.commands.status import Statuses
from ablate.commands.tree import Tree
from ablate.records import forms
from ablate.report.cli import Reports
from ablate.sweeps.plan import Planned

DOCS = Path(__file__).parents[2] / "docs"
PRINTED = {"status": Statuses, "tree": Tree, "plan": Planned, "report": Reports}
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def schema(command: str) -> dict[str, Any]:
    made = forms.schema(PRINTED[command])
    top = made["$defs"][PRINTED[command].__name__]
    top["properties"] = {"format": {"const": 1}, **top["properties"]}
    top["required"] = ["format", *top["required"]]
    return {"title": f"ablate {command} --json", **made}


def valid(command: str, done: "subprocess.CompletedProcess[str]") -> dict[str, Any]:
    content: dict[str, Any] = json.loads(done.stdout)
    Draft202012Validator(schema(command)).validate(content)
    return content


@pytest.mark.parametrize("command", PRINTED)
def test_the_published_schemas_are_those_of_the_classes(command: str) -> None:
    """`python tests/commands/test_json.py` writes them."""
    published = (DOCS / f"{command}.schema.json").read_text(encoding="utf-8")
    assert published == json.dumps(schema(command), indent=1) + "\n"


def test_a_study_for_programs_from_its_plan_to_its_claims(ablate: Run, tmp_path: Path) -> None:
    sweep = ("study=demo", "model=plain,dropout", "seed=0,1", "train.epochs=1", "data.subset=30")
    planned = valid("plan", ablate("plan", *sweep, "--json"))
    assert [cell["done"] for cell in planned["cells"]] == [0] * 4 and planned["core_seconds"] is None
    tree = valid("tree", ablate("tree", "data=digits", "model=dropout", "--json"))
    assert "drop3" in {row["name"] for row in tree["layers"]} - {row["name"] for row in tree["base_layers"]}
    assert tree["images"] == [3, 32, 32] and tree["after"]["parameters"] == 62006
    assert ablate("-m", *sweep).returncode == 0
    status = valid("status", ablate("status", "outputs/demo", "--json"))
    assert status["counts"] == {"complete": 4} and status["runs"][0]["done"] == 1
    (tmp_path / "claims.yaml").write_text(
        "study:\n  claims:\n"
        "    - {id: same, statement: s, metric: parameters, expect: plain > dropout}\n"
        "    - {id: open, statement: o, expect: dropout > plain}\n"
    )
    done = ablate("report", "outputs/demo", "--check", "--json", "--study", "claims.yaml")
    assert done.returncode == 1
    (report,) = valid("report", done)["reports"]
    assert [(one["kind"], one["name"]) for one in report["complaints"]] == [("refuted", "same")]
    assert not report["passed"] and report["report"] == "outputs/demo/report"
    (still,) = report["open_claims"]
    assert (still["name"], still["kind"]) == ("open", "inconclusive") and "it takes 3" in still["way_out"]
    written = json.loads((tmp_path / "outputs/demo/report/results.json").read_text(encoding="utf-8"))
    assert report["results"] == written
    (tmp_path / "sheet.csv").write_text("method,seed,f1\na,0,0.5\na,1,0.6\nb,0,0.7\nb,1,0.9\n")
    (sheet,) = valid("report", ablate("report", "sheet.csv", "--json"))["reports"]
    assert "ablate report sheet.csv --variant method --seed seed" in sheet["inferred"] and sheet["passed"]
    wrong = ablate("status", "nowhere", "--json")
    assert wrong.returncode == 2 and not wrong.stdout and "there are no runs" in wrong.stderr


if __name__ == "__main__":
    for name in PRINTED:
        (DOCS / f"{name}.schema.json").write_text(json.dumps(schema(name), indent=1) + "\n", encoding="utf-8")
