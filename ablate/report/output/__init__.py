"""What is said of an analysis: page, tables, figures, files."""
