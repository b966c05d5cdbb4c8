"""Data sets held in memory, and batches of them."""
