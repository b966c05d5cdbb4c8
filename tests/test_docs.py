"""What the documentation says is so; its blocks for bash are run by test_wheel.py and the tests of clusters."""

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_architecture import FLOORS

import ablate
from ablate.__main__ import COMMANDS, run_command
from ablate.config import schema as schema_module
from ablate.data.cifar10_sources import Arrays
from ablate.training import stopwatch

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
# What a user fills in, what a service of theirs is needed for, and what other tests run.
ELSEWHERE = ("…", "--cfg", "--help", "hydra/launcher=slurm", "s3://", "logger=", "dropout_search")
MISTAKE = "python -m ablate model=dropout model.edits.drop3.at=relu9"


def commands() -> Iterator[str]:
    """Yields the commands of all pages that start or time runs, from the blocks that are not for bash."""
    for page in PAGES:
        blocks = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
        for block in (block for language, block in blocks if not language):
            for line in block.splitlines():
                command = line.removeprefix("$ ").partition("   #")[0].strip()
                if re.match(r"python -m ablate |ablate (timing|tree|plan)\b", command) and not any(
                    e in command for e in ELSEWHERE
                ):
                    yield command


def _measured(*_: object, **__: object) -> None:
    raise RuntimeError("measured")


@pytest.fixture
def readers_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the data sets that the pages name."""
    images = np.random.default_rng(0).integers(0, 256, (256, 3, 32, 32), dtype=np.uint8)
    labels = np.arange(256) % 2
    np.savez(tmp_path / "mine.npz", train_images=images, train_labels=labels, test_images=images, test_labels=labels)
    for number, image in enumerate(images):
        for split in ("train", "test"):
            folder = tmp_path / "pets" / split / ("cat" if number % 2 else "dog")
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.transpose(1, 2, 0)).save(folder / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.cifar10
@pytest.mark.parametrize("command", sorted(set(commands()) - {MISTAKE}))
def test_a_command_does_all_but_train(
    command: str,
    readers_folder: Path,
    real_cifar10: Arrays,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = shlex.split(command)
    words = words[1:] if words[0] == "ablate" else words[3:]
    if words[0] == "tree":
        assert run_command(words) == 0
        assert "parameters" in capsys.readouterr().out
        return
    if words[0] == "timing":
        monkeypatch.setattr(stopwatch, "measure", _measured)
        with pytest.raises(RuntimeError, match="measured"):
            run_command(words)
        return
    words = [word for word in words if word not in ("plan", "-m") and not word.startswith("hydra/launcher=")]
    monkeypatch.setattr(sys, "argv", ["ablate"])
    assert run_command(["plan", *words]) == 0
    assert "Nothing was started." in capsys.readouterr().out
    assert not list(readers_folder.rglob("run.json"))


def test_there_are_such_commands() -> None:
    assert len(set(commands())) > 10
    assert MISTAKE in set(commands())  # run by commands/test_train.py


def test_every_page_with_blocks_for_bash_is_run_to_the_letter() -> None:
    tests = [ROOT / "tests" / "test_wheel.py", *(ROOT / "tests" / "clusters").glob("test_*.py")]
    run = {page for test in tests for page in re.findall(r'"(\w+\.md)"', test.read_text(encoding="utf-8"))}
    having = {page.name for page in PAGES if "```bash\n" in page.read_text(encoding="utf-8")}
    assert len(having) > 8 and having == run


def test_the_map_is_that_of_the_rooms() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d|–) \| (.*?) \|", text, re.MULTILINE)
    assert 7 < len(rows) <= 15
    places = {room: len(FLOORS) - number for number, floor in enumerate(FLOORS) for room in floor}
    for room, floor in places.items():
        path = room.removeprefix("ablate.").replace(".", "/")
        (found,) = {number for number, named in rows if re.search(rf"[`/]{path}[/`.]", named)}
        assert found == str(floor), room


def test_the_files_that_contributors_are_sent_to_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    paths = {name for name in re.findall(r"`([\w./]+)`", text) if "/" in name and not name.startswith(".")}
    assert len(paths) > 25
    # In the wheel alone; a path below a folder that its row names.
    paths -= {"ablate/conf", "launchers/", "analysis/", "output/", "sections/"}
    assert not {path for path in paths if not (ROOT / path).exists()}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        if path.startswith("http"):
            continue
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        if anchor and file.suffix == ".md":
            headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}, target


def test_what_agents_are_sent_to_exists() -> None:
    text = (ROOT / "docs" / "llms.txt").read_text(encoding="utf-8")
    pages = re.findall(r"\]\(([^)]+)\)", text)
    assert len(pages) > 10 and all((ROOT / "docs" / page).is_file() for page in pages)
    named = set(re.findall(r"`ablate (\w+) ", text)) | {"verify"}
    assert named <= {*COMMANDS} and {"tree", "plan", "status", "report"} <= named
    assert set(re.findall(r"`ablate\.(\w+)`", text)) <= {*ablate.__all__}


def test_the_schemas_page_has_every_key() -> None:
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        from hooks import schema
    finally:
        sys.path.pop(0)
    text = schema(schema_module)
    assert "| `epochs` | `int` | needed | at least 1 |" in text
    assert "| `stream` | `bool` | `False` |  | read files as they are needed, not all at first |" in text
    assert text.count("\n## ") + 1 == Path(schema_module.__file__).read_text(encoding="utf-8").count("@dataclass")
