import io
import re
import sys

import pytest

from ablate.runs.progress import Progress


class Terminal(io.StringIO):
    """A screen of lines, for what bars use: carriage returns, new lines, and the cursor going up."""

    def isatty(self) -> bool:
        return True

    def lines(self) -> list[str]:
        screen, row, column = [""], 0, 0
        for part in re.findall(r"\x1b\[A|.|\n|\r", self.getvalue()):
            if part == "\n":
                row, column = row + 1, 0
                screen += [""] * (row + 1 - len(screen))
            elif part == "\r":
                column = 0
            elif part == "\x1b[A":
                row -= 1
            else:
                screen[row] = screen[row].ljust(column)[:column] + part + screen[row][column + 1 :]
                column += 1
        return [line.rstrip() for line in screen]


@pytest.mark.parametrize("runs", [1, 3])
def test_what_is_printed_after_a_sweep_stands_alone_in_its_line(runs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    progress = Progress()
    progress.start_sweep(runs)
    for number in range(runs):
        with progress.run(f"plain seed {number}", 4) as step:
            for _ in range(4):
                step()
    progress.end_sweep()
    print("The runs are in outputs.", file=screen)
    lines = screen.lines()
    assert "The runs are in outputs." in lines
    assert any(line.startswith(f"sweep of {runs} runs: 100%") for line in lines)
