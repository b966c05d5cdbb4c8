"""Trackers: tools that show runs as they go, beside the records that every run keeps."""
