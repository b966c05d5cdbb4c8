"""Models, and the edits that make variants of them."""
