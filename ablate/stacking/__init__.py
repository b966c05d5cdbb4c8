"""Several models as one, layer by layer."""
