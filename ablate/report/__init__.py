"""The report: tables, plots and verdicts from run directories.

Example:
    >>> from pathlib import Path
    >>> from ablate.report.analysis.analyse import analyse
    >>> from ablate.report.study.collect import collect
    >>> analysis = analyse(collect(Path("outputs/demo")))
    >>> sorted(analysis.study.variants)
    ['bn_dropout', 'dropout', 'plain']

`write_report(analysis, folder)` of `ablate.report.output.write` writes the page, its tables and its figures.
"""
