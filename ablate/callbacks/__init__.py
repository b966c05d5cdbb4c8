"""What other tools call while they train: Hydra, Lightning and Hugging Face's Trainer, each in a file of its own."""

from ablate.callbacks.hydra import Report

__all__ = ["Report"]
