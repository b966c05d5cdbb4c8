"""Hydra's sweeper `settle`: adds seeds until every claim of the study is settled, or the budget ends.

After each batch of runs the claims are judged by the test that holds at any number of looks. Only the variants of
claims that are open get further seeds. Each look is kept in the study's folder with the seeds that it asked for: a
command that was ended resumes with these, and comes to the looks that it would have come to.
"""

import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from ablate.messages import aligned, say
from ablate.records import provenance
from ablate.records.record import Plan, now
from ablate.records.run_directory import RunDirectory
from ablate.records.study_directory import LOOKS, StudyDirectory, read_study_file
from ablate.sweeps.jobs import composed, expand
from ablate.sweeps.session import session

if TYPE_CHECKING:  # pandas and scipy wait for the first look
    from ablate.report.analysis.analyse import Analysis
    from ablate.report.analysis.verdicts import Judgement

Variant = tuple[str | None, ...]  # the overrides of a variant's jobs, None in the place of the seed's


@dataclass
class SettleConf:
    """Options of the sweeper."""

    _target_: str = "hydra_plugins.ablate_launchers.SettleSweeper"
    params: dict[str, str] | None = None  # the study's own sweep, as of Hydra's; its seeds are the first look's
    max_seeds: int = 60  # of a variant
    max_hours: float | None = None  # no batch is started after so many, if set
    seeds_per_look: int | None = None  # that are added at a time; as many as fill the launcher if not set


ConfigStore.instance().store(group="hydra/sweeper", name="settle", node=SettleConf, provider="ablate")


class SettleSweeper(Sweeper):
    """Sweeps over variants and seeds, and adds seeds until the claims are settled, with the options of `SettleConf`."""

    def __init__(self, **options: Any) -> None:
        self.options = SettleConf(**options)
        for name in ("max_seeds", "max_hours", "seeds_per_look"):
            value = getattr(self.options, name)
            if value is not None and not value > 0:
                raise ValueError(f"hydra.sweeper.{name}={value}: must be above 0")

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> list[Sequence[JobReturn]]:
        """Runs the sweep, batch after batch; ValueError where the study has no claims, or a test for one look."""
        assert self.config is not None and self.launcher is not None
        _check_study(self.config.study)
        sweep = _Sweep(expand(self.config, arguments), int(self.config.seed))
        before = provenance.plan() or Plan(seeds=())
        provenance.set_plan(replace(before, seeds=tuple(sweep.given), settles=True))
        folder = Path(self.config.hydra.sweep.dir)
        folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.config, folder / "multirun.yaml")
        began, launched = time.monotonic(), set[tuple[str, ...]]()
        returns: list[Sequence[JobReturn]] = []
        planned, analysis = _planned_before(folder, sweep), None
        while True:
            batch = [job for job in sweep.jobs(planned) if tuple(job) not in launched]
            self.validate_batch_is_legal(batch)
            if session.jobs:
                session.jobs = [*(session.jobs if launched else ()), *composed(self.config, batch)]
            returns.append(self.launcher.launch(batch, initial_job_idx=len(launched)))
            launched |= {tuple(job) for job in batch}
            if all(job.status is not JobStatus.COMPLETED for job in returns[-1]):
                break  # the failures are said at the end
            analysis = self._look(folder)
            more = self._more(analysis, sweep, planned)
            over = time.monotonic() - began > 3600 * (self.options.max_hours or math.inf)
            planned |= {} if over else more
            _keep(folder, analysis, sweep, planned)
            say(_said(analysis))
            if over or not more:
                break
        if analysis is not None:
            say(_summary(analysis, sweep, self.options.max_seeds))
        for job in (job for batch_returns in returns for job in batch_returns):
            _ = job.return_value  # raises what made it fail
        return returns

    def _look(self, folder: Path) -> "Analysis":
        """Judges the study as it is now."""
        from ablate.report.analysis.analyse import analyse
        from ablate.report.study.collect import collect

        assert self.config is not None
        sources = self.config.hydra.runtime.config_sources
        return analyse(collect(folder, [Path(source.path) for source in sources if source.schema == "file"]))

    def _more(self, analysis: "Analysis", sweep: "_Sweep", planned: Mapping[Variant, int]) -> dict[Variant, int]:
        """Returns how many seeds the variants of open claims are to have at the next look; empty if none gets more."""
        labels = {label: variant for variant in sweep.variants if (label := self._label(variant, sweep, analysis))}
        pairs = {
            tuple(dict.fromkeys(labels[side] for side in sides if side in labels))
            for judged in analysis.judgements
            for sides in _open_sides(judged)
            if all(side in labels for side in sides)
        }
        step = self.options.seeds_per_look or self._filling(len({variant for pair in pairs for variant in pair}), sweep)
        more: dict[Variant, int] = {}
        for pair in pairs:
            target = min(self.options.max_seeds, min(planned[variant] for variant in pair) + step)
            for variant in pair:
                if target > max(planned[variant], more.get(variant, 0)):
                    more[variant] = target
        return more

    def _filling(self, variants: int, sweep: "_Sweep") -> int:
        """Returns the seeds that fill the launcher: a cohort takes all variants of a seed, a worker takes one run."""
        assert self.config is not None
        launcher, cores = self.config.hydra.launcher, os.cpu_count() or 1
        match self.config.hydra.runtime.choices.get("hydra/launcher"):
            case "cohort":
                return int(launcher.processes or cores)
            case "joblib":
                workers = launcher.n_jobs if (launcher.n_jobs or 0) > 0 else cores
                return max(1, math.ceil(workers / max(1, variants)))
            case "basic":
                return 1
        return len(sweep.given)  # of a cluster, as many as were asked for

    def _label(self, variant: Variant, sweep: "_Sweep", analysis: "Analysis") -> str | None:
        """Returns what the report calls a variant; None while none of its runs is complete."""
        assert self.config is not None
        runs = dict(zip(analysis.study.runs["run"], analysis.study.runs["variant"], strict=True))
        for seed in sweep.given:
            (job,) = composed(self.config, [sweep.job(variant, seed)])
            record = RunDirectory(job.folder or Path()).read_record()
            if record is not None and record.run in runs:
                return str(runs[record.run])
        return None


class _Sweep:
    """The jobs of a sweep by variant, and the seeds that they can have: those that were asked for, and what follows."""

    def __init__(self, jobs: Sequence[Sequence[str]], seed: int) -> None:
        variants, given = dict[Variant, None](), dict[int, None]()
        for job in jobs:
            seeds = [int(item.partition("=")[2]) for item in job if item.startswith("seed=")] or [seed]
            variant: Variant = tuple(None if item.startswith("seed=") else item for item in job)
            variants[variant if None in variant else (*variant, None)] = None
            given[seeds[0]] = None
        self.variants, self.given = list(variants), list(given)

    def seeds(self, number: int) -> list[int]:
        """Returns so many seeds: those that were asked for, then those that follow the highest of them."""
        return [*self.given, *islice(count(max(self.given) + 1), max(0, number - len(self.given)))][:number]

    def job(self, variant: Variant, seed: int) -> list[str]:
        """Returns the overrides of a run."""
        return [f"seed={seed}" if item is None else item for item in variant]

    def jobs(self, planned: Mapping[Variant, int]) -> list[list[str]]:
        """Returns the overrides of all runs of so many seeds of each variant, seed by seed."""
        most = max(planned.values())
        return [
            self.job(variant, seed)
            for place, seed in enumerate(self.seeds(most))
            for variant, number in planned.items()
            if place < number
        ]


def _check_study(study: DictConfig) -> None:
    if not study.get("claims"):
        raise ValueError(
            "hydra/sweeper=settle: the study has no claims, which say what is to be settled; write study.claims, or "
            "take hydra/sweeper=basic"
        )
    if study.get("test") == "fixed":
        raise ValueError(
            "study.test=fixed: judges one look, and hydra/sweeper=settle looks after each batch; leave it at auto"
        )


def _open_sides(judged: "Judgement") -> list[list[str]]:
    """Returns the variants of each part that more seeds can settle."""
    from ablate.report.analysis.verdicts import Verdict

    if judged.verdict.is_settled:
        return []
    return [
        [side for side in (finding.part.question.first, finding.part.question.second) if isinstance(side, str)]
        for finding in judged.findings
        if finding.answer is not None
        and not finding.answer.metric.is_cost
        and not finding.answer.lost
        and finding.verdict in (Verdict.INCONCLUSIVE, Verdict.UNTESTED)
    ]


def _planned_before(folder: Path, sweep: _Sweep) -> dict[Variant, int]:
    """Returns the seeds of each variant that the sweep begins with: those asked for, or those of the newest look."""
    planned = dict.fromkeys(sweep.variants, len(sweep.given))
    for file in StudyDirectory(folder).files(LOOKS)[:1]:
        look = read_study_file(file)
        if look["given"] == sweep.given:
            for variant in sweep.variants:
                planned[variant] = max(planned[variant], look["next"].get(_key(variant), 0))
    return planned


def _keep(folder: Path, analysis: "Analysis", sweep: _Sweep, planned: Mapping[Variant, int]) -> None:
    """Writes down a look: what was found, and the seeds that each variant is to have next."""
    made = now()
    claims = {judged.claim.id: {"verdict": judged.verdict, "pairs": judged.pairs} for judged in analysis.judgements}
    following = {_key(variant): number for variant, number in planned.items()}
    StudyDirectory(folder).write(LOOKS, made, {"made": made, "given": sweep.given, "claims": claims, "next": following})


def _key(variant: Variant) -> str:
    return " ".join(item for item in variant if item is not None)


def _said(analysis: "Analysis") -> str:
    """Returns a look in words: a line a claim, of the part that it waits for or else of its weakest."""
    from ablate.report.output.words import waits_for

    rows = [("claim", "verdict", "expected", "difference", "interval", "seeds", "")]
    for judged in analysis.judgements:
        decisive = [finding for finding in judged.findings if finding.verdict is judged.verdict]
        finding = max(decisive, key=lambda each: 0.0 if math.isnan(each.p) else each.p)
        shown, answer = ("–", "–", "0"), finding.answer
        if answer is not None and answer.evidence.pairs:
            kind, bounds = answer.metric, answer.evidence.interval
            interval = kind.show_interval(bounds.low, bounds.high)
            shown = (kind.show_difference(answer.evidence.mean), interval, str(answer.evidence.pairs))
        rows.append((judged.claim.id, judged.verdict, finding.part.text, *shown, waits_for(finding)))
    return f"\nA look at {len(analysis.study.records)} runs:\n{aligned(rows)}"


def _summary(analysis: "Analysis", sweep: _Sweep, max_seeds: int) -> str:
    """Returns what was settled, and at what cost."""
    settled = sum(judged.verdict.is_settled for judged in analysis.judgements)
    done = sum(record.epochs for record in analysis.study.records.values())
    longest = max((record.planned_epochs for record in analysis.study.records.values()), default=0)
    fixed = len(sweep.variants) * max_seeds * longest
    return (
        f"\n{settled} of {len(analysis.judgements)} claims are settled, after {len(analysis.study.records)} runs of "
        f"{done:,} epochs together. {max_seeds} seeds of each variant would have taken {fixed:,} epochs."
    )
