"""The configuration that made-up runs have."""

from typing import Any

CONFIG: dict[str, Any] = {
    "seed": 0,
    "model": {"name": "plain", "base": {"_target_": "x.Net"}, "edits": {}},
    "optimizer": {"_target_": "torch.optim.Adam", "lr": 0.001},
    "data": {"name": "digits", "root": None},
    "train": {"epochs": 3, "batch_size": 8},
    "hardware": {"device": "cpu", "threads": None, "precision": "fp32", "channels_last": True},
    "study": {
        "name": "trial",
        "title": "A trial",
        "baseline": "plain",
        "published": {
            "source": "A paper.",
            "epochs": 50,
            "variants": {"plain": {"test_accuracy": {"final": 0.75}, "total_seconds": {"total": 100.0}}},
        },
    },
}
