"""ablate: ablation studies of neural networks, from one command to a tested conclusion."""

__version__ = "0.1.0"
