"""Whatever tells a reader to install something names our distribution; PyPI's `ablate` is another project."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from ablate.messages import distribution, install_hint
from ablate.records import provenance

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PAGES = [
    *ROOT.glob("*.md"),
    *(ROOT / "docs").rglob("*.md"),
    *(ROOT / "conf").rglob("*.yaml"),
    *(path for path in (ROOT / "examples").rglob("*") if path.suffix in (".py", ".yaml")),
    ROOT / "Makefile",
]
CODE = [path for folder in ("ablate", "hydra_plugins", "docs") for path in (ROOT / folder).rglob("*.py")]
# The name as a word of its own: not hydra-ablate, not a folder or a file of that name.
STRANGER = re.compile(r"pip3? install\b[^\n`#]*?(?<![-\w/.])ablate(?![-\w/.])|(?<![-\w])ablate\[\w")
OF_THE_INDEX = re.compile(r"pip3? install\b[^\n`#]*?(?<![-\w/.])hydra-ablate(?![-\w/.])")


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("pip install NAME", True),
        ("pip install --upgrade 'NAME'", True),
        ("pip install 'NAME[slurm]'", True),
        ("with 'NAME[slurm]' installed", True),
        ("pip install 'hydra-NAME[slurm]'", False),
        ("pip install hydra_NAME-0.1.0-py3-none-any.whl", False),
        ("pip install -e '.[slurm]'  # NAME with Slurm", False),
        ("`pip install .` in the checkout; then `NAME report`", False),
    ],
)
def test_the_other_project_is_recognised(text: str, wrong: bool) -> None:
    assert bool(STRANGER.search(text.replace("NAME", "ablate"))) is wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_page_installs_the_other_project_or_what_is_not_published(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not STRANGER.findall(text)
    assert not OF_THE_INDEX.findall(text), "install from the checkout or from a wheel"


@pytest.mark.parametrize("file", CODE, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_message_installs_the_other_project(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    assert not [text for text in texts if STRANGER.search(text)]
    # The name is written in one place alone; everywhere else it is read from the metadata.
    assert file.name == "messages.py" or not [text for text in texts if "hydra-ablate" in text]


def test_every_extra_that_a_message_names_exists() -> None:
    sources = "\n".join(file.read_text(encoding="utf-8") for file in CODE)
    named = set(re.findall(r"install_hint\([\"'](\w+)[\"']\)", sources))
    assert len(named) > 3
    assert named <= set(PROJECT["optional-dependencies"])


def test_the_name_is_that_of_the_installed_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    assert distribution() == PROJECT["name"]
    assert install_hint("slurm") == f"pip install '{PROJECT['name']}[slurm]'"
    monkeypatch.setattr(metadata, "entry_points", lambda **_: [])  # a checkout that is not installed
    assert distribution() == PROJECT["name"]


def test_a_fork_under_another_name_is_named_by_it(tmp_path: Path) -> None:
    """Also where the other project is installed beside it, whose script has the same name."""
    for name, script in {"ablate": "ablate.cli:app", "our-ablate": "ablate.__main__:main"}.items():
        folder = tmp_path / f"{name.replace('-', '_')}-9.9.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 9.9\n")
        (folder / "entry_points.txt").write_text(f"[console_scripts]\nablate = {script}\n")
    code = (
        f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]\n"
        "from ablate.messages import install_hint; from ablate.records.provenance import packages\n"
        "print(install_hint('ray'), packages()['ablate'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "pip install 'our-ablate[ray]' 9.9"


def test_records_keep_the_version_under_the_old_key() -> None:
    assert "ablate" in provenance.PACKAGES
    assert provenance.packages()["ablate"] == metadata.version(PROJECT["name"])
