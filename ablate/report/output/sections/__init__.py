"""The sections of a report: what is said of an analysis, and in which words."""
