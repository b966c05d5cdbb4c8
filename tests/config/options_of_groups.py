"""The options that there are in each group, and what some of them need beside."""

from ablate.config.options import config_dir

GROUPS = ("model", "optimizer", "scheduler", "data", "hardware", "study", "metrics", "logger")
FILES = {group: sorted(path.stem for path in (config_dir() / group).glob("*.yaml")) for group in GROUPS}
NEEDED = {"data=folder": ["data.path=x"], "data=npz": ["data.path=x"], "data=function": ["data._target_=x.load"]}
OPTIONS = [f"{group}={name}" for group in GROUPS for name in FILES[group]]
