"""The jobs of a command: checked, planned, launched."""
