"""The rules of the house, held against the real imports."""

import ast
import os
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "ablate").rglob("*.py"))
}


def imports(module: str) -> set[str]:
    """Returns the names that a file imports anywhere in it, from our own modules whole."""
    found = set()
    for node in ast.walk(ast.parse(FILES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            assert node.module is not None
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name for name in names if name in FILES} or {node.module}
    return found


def packages(module: str) -> set[str]:
    return {name.partition(".")[0] for name in imports(module)}


def test_no_two_files_import_each_other() -> None:
    graph = {module: {name for name in imports(module) if name in FILES} for module in FILES}
    assert sum(map(len, graph.values())) > 30, "the imports were not found"
    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize(
    "module", [name for name in FILES if name != "ablate" and not name.startswith("ablate.report")]
)
def test_training_does_not_import_the_reports_packages(module: str) -> None:
    assert not packages(module) & {"pandas", "matplotlib", "tabulate"}
    assert not {name for name in imports(module) if name.startswith("ablate.report")}


@pytest.mark.parametrize("module", [name for name in FILES if name.startswith("ablate.report")])
def test_the_report_meets_training_in_the_records_alone(module: str) -> None:
    assert not packages(module) & {"torch", "torchvision", "hydra"}
    ours = {name for name in imports(module) if name.startswith("ablate.") and not name.startswith("ablate.report")}
    assert ours <= {
        "ablate.records.run_directory",
        "ablate.files",
        "ablate.messages",
        "ablate.config.options",
        "ablate.records.store",
    }


@pytest.mark.parametrize("part", ["data", "models", "training"])
def test_parts_do_not_import_upwards(part: str) -> None:
    above = {"ablate.commands.train", "ablate.runs.run", "ablate.commands.errors", "ablate.runs.progress"}
    for module in FILES:
        if module.startswith(f"ablate.{part}"):
            assert not imports(module) & above


def test_only_the_command_line_knows_hydra_main() -> None:
    decorated = [
        module
        for module, path in FILES.items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
        and any(ast.unparse(decorator).startswith("hydra.main(") for decorator in node.decorator_list)
    ]
    assert decorated == ["ablate.commands.train"]


def test_files_are_rooms() -> None:
    assert not [module for module in FILES if module.endswith("utils")]
    assert not {module: size for module, path in FILES.items() if (size := len(path.read_text().splitlines())) > 260}


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("ablate.commands.train", "torch"),
        ("ablate.commands.train", "pandas"),
        ("ablate.report.cli", "torch"),
        ("ablate.runs.run", "pandas"),
    ],
)
def test_import_is_light(module: str, unwanted: str) -> None:
    code = f"import sys, {module}; sys.exit('{unwanted}' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_a_run_does_without_the_reports_packages(tmp_path: Path) -> None:
    code = (
        "import sys; from ablate.commands.train import main\n"
        "sys.argv[1:] = ['study=demo', 'data.subset=30', 'train.epochs=1']\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "sys.exit(', '.join({'pandas', 'matplotlib', 'sklearn', 'scipy'} & set(sys.modules)) or None)"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
