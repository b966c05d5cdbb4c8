"""Hydra launchers: here and on clusters."""
