"""How a command ends: its exit code, and for a mistake a few lines that name it and the way out."""

import errno
import os
import re
import sys
from collections.abc import Callable, Iterator

from ablate.messages import install_hint, nearest, say
from ablate.records.interruption import EXIT_CODE, Terminated
from ablate.records.record import RunFailed

DONE, FAILED, REFUSED, INTERRUPTED = 0, 1, 2, 130
# What no other command would mend: a disk without space, or that writes no more.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)

# Options that come with a plugin of Hydra, and what installs it.
_PLUGINS: dict[str, Callable[[], str]] = {
    "hydra/sweeper/optuna": lambda: install_hint("optuna"),
    "hydra/launcher/joblib": lambda: "pip install hydra-joblib-launcher",
}


def exit_code(command: Callable[[list[str]], int], arguments: list[str]) -> int:
    """Runs a command; prints the message of an error that the user can mend, raises one that is a mistake in ablate.

    Returns:
        What the command returns; 2 if the command was wrong, 130 after Ctrl-C, 143 after SIGTERM.
    """
    try:
        try:
            code = command(arguments)
        except SystemExit as end:  # raised by argparse, or at the end of a plan
            code = end.code if isinstance(end.code, int) else DONE
        sys.stdout.flush()
        return code
    except Terminated:
        return EXIT_CODE
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader of the output, such as `head`, has closed it
        # Else Python flushes it at its end, and fails again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except Exception as error:
        message = explain(error)
        if os.environ.get("HYDRA_FULL_ERROR") == "1" or message is None:
            raise
        say(message, file=sys.stderr)
        full = isinstance(error, OSError) and error.errno in _FULL
        return FAILED if full or isinstance(error, RunFailed) else REFUSED


def explain(error: BaseException) -> str | None:
    """Returns the message for an error that the user can mend, None for a mistake in ablate."""
    from hydra.errors import HydraException, MissingConfigException  # most commands end without an error
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    if isinstance(error, MissingConfigException) and error.options and error.missing_cfg_file:
        group, _, option = error.missing_cfg_file.rpartition("/")
        if (way_out := _PLUGINS.get(error.missing_cfg_file)) is not None:
            return f"{group}={option}: its plugin is not installed; {way_out()}"
        return f"{group}={option}: there is no such option; {nearest(option, error.options)}"
    if isinstance(error, HydraException):
        text, cause = str(error), error.__cause__
        if match := re.match(r"Could not override '([^']+)'", text):
            assert isinstance(cause, OmegaConfBaseException) and cause.parent_node is not None
            key, known = match[1], list(_keys(OmegaConf.to_container(cause.parent_node._get_root())))
            if key in known:  # what is in the mapping that it is given is wrong
                key = cause.full_key or key
            if key in known:
                return f"{key}: {str(cause).splitlines()[0]}"
            of_hydra = key.startswith("hydra.")
            hint = nearest(key, (name for name in known if name.startswith("hydra.") == of_hydra), most=1)
            return f"{key}: there is no such key; {hint}\nWhere new keys can be added, +{key}=… adds one."
        if match := re.match(r"Error merging override (.*)", text):
            reason = str(cause).splitlines()[0] if cause else text
            return f"{match[1]}: {reason}"
        return text
    if isinstance(error, OmegaConfBaseException):
        lines = str(error).splitlines()
        return f"{error.full_key}: {lines[0]}" if error.full_key else lines[0]
    if isinstance(error, OSError) and error.strerror is not None:
        return f"{error.strerror}: {error.filename or 'HYDRA_FULL_ERROR=1 shows where'}"
    if isinstance(error, ValueError | RunFailed):
        return str(error)
    return None


def _keys(node: object, prefix: str = "") -> Iterator[str]:
    """Yields the dotted keys of nested mappings, those of the inner mappings too."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield f"{prefix}{key}"
            yield from _keys(value, f"{prefix}{key}.")
