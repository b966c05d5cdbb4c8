"""The report: tables and plots from run directories."""
