"""What the documentation says is so."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import hydra
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from ablate import config
from ablate.design import settle
from ablate.jobs import expand
from ablate.options import config_dir
from ablate.validation import validate

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# What a cluster's or a tracker's user fills in, or what the tutorial's test runs with files of its own.
ELSEWHERE = ("…", "--config-dir", "--cfg", "--help", "hydra/launcher=slurm", "hydra/launcher=ray", "mine")


def commands() -> Iterator[str]:
    """Yields the commands of all pages that start or time runs, from blocks of code."""
    for page in PAGES:
        for block in re.findall(r"^```\w*\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
            for line in block.splitlines():
                command = line.removeprefix("$ ").partition("   #")[0].strip()
                if re.match(r"python -m ablate(\.timing|\.tree)? ", command) and not any(
                    e in command for e in ELSEWHERE
                ):
                    yield command


@pytest.mark.parametrize("command", sorted(set(commands())))
def test_a_command_composes_to_runs_that_are_valid(command: str) -> None:
    words = shlex.split(command)[3:]
    overrides = [word for word in words if "=" in word or word.startswith("~")]
    config.register()
    with hydra.initialize_config_dir(str(config_dir()), version_base="1.3"):
        parsed = OverridesParser.create().parse_overrides(overrides)
        fixed = [str(item.input_line) for item in parsed if not item.is_sweep_override()]
        whole = hydra.compose("config", fixed, return_hydra_config=True)
        jobs = expand(whole, overrides) if "-m" in words and "optuna" not in str(whole.hydra.sweeper) else [fixed]
        for job in jobs:
            cfg = hydra.compose("config", job)
            if "relu9" in command:  # a mistake, shown on purpose
                continue
            settle(cfg)
            validate(cfg)


def test_there_are_such_commands() -> None:
    assert len(set(commands())) > 15


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


def test_the_schemas_page_has_every_key() -> None:
    import sys

    sys.path.insert(0, str(ROOT / "docs"))
    try:
        from hooks import CONFIG, schema
    finally:
        sys.path.pop(0)
    text = schema(CONFIG.read_text(encoding="utf-8"))
    assert "| `epochs` | `int` | needed |" in text
    assert "| `stream` | `bool` | `False` | read files as they are needed, not all at first |" in text
    assert text.count("\n## ") + 1 == CONFIG.read_text(encoding="utf-8").count("@dataclass")
