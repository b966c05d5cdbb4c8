"""The command line: `ablate COMMAND`, or `python -m ablate COMMAND`; without a command's name it trains."""

import importlib
import sys
from collections.abc import Callable

# Where each command is; all else that one may type is for the training's.
COMMANDS = {
    "report": "ablate.report.cli:main",
    "status": "ablate.commands.status:main",
    "plan": "ablate.commands.train:plan",
    "timing": "ablate.commands.timing:main",
    "tree": "ablate.commands.tree:main",
    "verify": "ablate.commands.verify:main",
    "knockout": "ablate.commands.knockout:main",
    "publish": "ablate.commands.publish:main",
    "import": "ablate.commands.import_runs:main",
}


def run_command(arguments: list[str]) -> int:
    """Runs a command and returns its exit code: 0 done, 1 a run or a claim failed, 2 the command was wrong."""
    from ablate.commands.errors import exit_code
    from ablate.messages import say

    if arguments[:1] == ["--version"]:
        say(f"ablate {importlib.import_module('ablate').__version__}")
        return 0
    name = arguments[0] if arguments else ""
    module, _, function = COMMANDS.get(name, "ablate.commands.train:main").partition(":")
    command: Callable[[list[str]], int] = getattr(importlib.import_module(module), function)
    return exit_code(command, arguments[1:] if name in COMMANDS else arguments)


def main() -> None:
    """The console script `ablate`."""
    sys.exit(run_command(sys.argv[1:]))


if __name__ == "__main__":
    main()
