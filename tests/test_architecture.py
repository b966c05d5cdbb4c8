"""The floors of the house, held against the real imports."""

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
    for folder in ("ablate", "hydra_plugins")
    for path in sorted((ROOT / folder).rglob("*.py"))
}

# From the top. A room imports from floors below its own only, and its files form no circle.
FLOORS = (
    ("ablate.__main__",),
    ("ablate.callbacks", "ablate.commands", "hydra_plugins"),
    ("ablate.sweeps",),
    ("ablate.tasks",),
    ("ablate.runs", "ablate.report"),
    ("ablate.training", "ablate.models", "ablate.trackers", "ablate.sources"),
    ("ablate.config", "ablate.records", "ablate.data"),
    ("ablate.stacking", "ablate.stats", "ablate.seeding", "ablate.files", "ablate.messages"),
)
ROOMS = {room: len(FLOORS) - number for number, floor in enumerate(FLOORS) for room in floor}

# What a room does not import, beside what stands above it: packages of others, and rooms of ours.
WITHOUT = {
    **{
        f"ablate.{room}": {"pandas", "matplotlib", "tabulate", "ablate.report"}
        for room in ("training", "models", "stacking", "data", "runs")
    },
    "ablate.report": {
        "torch", "torchvision", "hydra", "ablate.data", "ablate.models", "ablate.training", "ablate.tasks",
        "ablate.trackers", "ablate.stacking", "ablate.seeding", "ablate.config.compose",
    },
    "ablate.report.study": {"ablate.report.analysis", "ablate.report.output"},
    "ablate.report.analysis": {"ablate.report.output"},
}  # fmt: skip


def imports(module: str) -> set[str]:
    """Returns the names that a file imports anywhere in it, from our own modules whole."""
    names = set()
    for node in ast.walk(ast.parse(FILES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            assert node.module is not None
            parts = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {name for name in parts if name in FILES} or {node.module}
    return names


def within(module: str, room: str) -> bool:
    return module == room or module.startswith(f"{room}.")


def room_of(module: str) -> str:
    if module.endswith(".__main__"):
        return "ablate.__main__"  # doors, from the street
    rooms = [room for room in ROOMS if within(module, room)]
    assert rooms, f"{module} is in no room: find its floor, or another place for it"
    return max(rooms, key=len)


def ours(module: str) -> set[str]:
    return {name for name in imports(module) if name in FILES}


@pytest.mark.parametrize("module", [name for name in FILES if name != "ablate"])
def test_a_file_imports_from_its_own_room_and_from_floors_below(module: str) -> None:
    own = room_of(module)
    for name in ours(module):
        assert name != "ablate", "what ablate hands on has a place of its own"
        other = room_of(name)
        assert other == own or ROOMS[other] < ROOMS[own], f"{module} imports {name}, which is not below it"


@pytest.mark.parametrize("room", WITHOUT)
def test_a_room_does_without(room: str) -> None:
    assert any(within(module, room) for module in FILES)
    for module in FILES:
        if within(module, room) and module != "ablate.report.__main__":
            unwanted = {name for name in imports(module) for part in WITHOUT[room] if within(name, part)}
            assert not unwanted, module


def test_no_circle() -> None:
    graph = {module: ours(module) for module in FILES if module != "ablate"}
    assert sum(map(len, graph.values())) > 100, "the imports were not found"
    TopologicalSorter(graph).prepare()


def test_the_rooms_are_those_of_the_folders() -> None:
    """A folder without a floor, and a floor without a folder, are both mistakes of the list above."""
    for room in ROOMS:
        assert any(within(module, room) for module in FILES), room
    loose = {name for name, path in FILES.items() if path.parent == ROOT / "ablate" and path.stem != "__init__"}
    assert loose == {f"ablate.{name}" for name in ("__main__", "seeding", "files", "messages")}


def test_only_the_training_command_knows_hydra_main() -> None:
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
    assert not {module: size for module, path in FILES.items() if (size := len(path.read_text().splitlines())) > 400}


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("ablate.__main__", "hydra"),
        ("ablate.commands.train", "torch"),
        ("ablate.commands.train", "pandas"),
        ("ablate.commands.status", "torch"),
        ("ablate.report.cli", "torch"),
        ("ablate.report.cli", "hydra"),
        ("ablate.runs.run", "pandas"),
        ("ablate.callbacks", "pandas"),
        ("ablate.tasks.recording", "torch"),
    ],
)
def test_import_is_light(module: str, unwanted: str) -> None:
    code = f"import sys, {module}; sys.exit('{unwanted}' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_a_run_does_without_the_reports_packages(tmp_path: Path) -> None:
    code = (
        "import sys; from ablate.__main__ import main\n"
        "sys.argv[1:] = ['study=demo', 'data.subset=30', 'train.epochs=1']\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "sys.exit(', '.join({'pandas', 'matplotlib', 'sklearn', 'scipy'} & set(sys.modules)) or None)"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
