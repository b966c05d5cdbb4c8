"""The documentation's commands, run as its reader would."""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def to_the_letter(page: str, folder: Path, env: Mapping[str, str]) -> list[str]:
    """Runs the blocks of a page that are for bash in a folder, and returns what each printed."""
    said = []
    for block in re.findall(
        r"^```bash\n(.*?)^```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    ):
        command = ["bash", "-euo", "pipefail", "-c", block]
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=900)
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
        said.append(done.stdout)
    return said


def python_block(page: str, words: str) -> str:
    """Returns the block of a page for Python that has these words."""
    blocks = re.findall(r"^```python\n(.*?)^```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    (found,) = [block for block in blocks if words in block]
    return str(found)
