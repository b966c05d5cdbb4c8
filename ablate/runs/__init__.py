"""One run: prepared, trained, recorded, resumed."""
