"""`ablate knockout RUN_OR_STUDY EDIT`: what trained networks do when a part is gone, without training again.

The report shows it beside the variant that was trained without the part.
"""

import argparse
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from ablate.commands.verify import recorded_configuration
from ablate.config.edits import Edit, read_edits
from ablate.files import Plain
from ablate.messages import aligned, nearest, say
from ablate.records.record import RunRecord, now
from ablate.records.run_directory import RunDirectory
from ablate.records.study_directory import KNOCKOUT, StudyDirectory

if TYPE_CHECKING:
    from ablate.runs.prepare import Prepared
    from ablate.training.loop import Training

_OUTPUTS = ("zero", "mean")  # of a layer: in place of its output, zeros or its mean over the training images
_MOST_OFF = 0.005  # of the accuracy that a checkpoint gives, from the one recorded: cohorts sum in another order


def knock_out(record: RunRecord, directory: RunDirectory, edit: Edit | tuple[str, str], allow: Sequence[str]) -> Plain:
    """Returns the test metrics of a trained run before and after an edit.

    Args:
        record: Of a complete run.
        directory: Its directory, with the checkpoint.
        edit: An edit, or `zero` or `mean` and the name of the layer whose output it stands for.
        allow: Packages whose code the recorded configuration may name.

    Raises:
        ValueError: There is no usable checkpoint, it is not the record's, or the edit does not fit or changes nothing.
    """
    import torch

    from ablate.models.surgery import edit_model
    from ablate.runs.prepare import assemble, first_images, prepare
    from ablate.seeding import global_stream
    from ablate.training.checkpoint import resume
    from ablate.training.hardware import configured
    from ablate.training.loop import evaluate

    cfg = recorded_configuration(record, allow)
    with configured(cfg.hardware), ExitStack() as hooks:
        prepared = prepare(cfg, rewrite=False)
        model = prepared.trainee.model
        if len(resume(prepared.trainee, directory)) != record.epochs:
            raise ValueError(f"{directory.folder}: has no whole checkpoint of its last epoch")
        model.load_state_dict(prepared.trainee.result.state_dict())  # an average, if the run was evaluated with one
        training = assemble(cfg, [prepared], [cfg.seed])
        before = evaluate(training, training.evaluated["test"])[0]
        recorded = record.value("test_accuracy")
        if not abs(before["accuracy"] - recorded) <= _MOST_OFF:
            raise ValueError(
                f"{directory.folder}: its checkpoint gives a test accuracy of {before['accuracy']:.4f}, and the record "
                f"says {recorded:.4f}: code or data are not those of the run; ablate verify says more"
            )
        sample = first_images(prepared.data, cfg).to(prepared.device)
        with torch.inference_mode():
            trained = model.eval()(sample)
        if isinstance(edit, Edit):
            with global_stream(cfg.seed, "init/knockout"):
                for layer in edit_model(model, {"knockout": edit}).values():
                    layer.to(prepared.device)
        else:
            replace_output(hooks, training, prepared, *edit)
        with torch.inference_mode():
            if torch.equal(trained, model.eval()(sample)):
                raise ValueError("changes nothing that a trained network computes; dropout, for one, acts in training")
        after = evaluate(training, training.evaluated["test"])[0]
    sides = {"before": before, "after": after}
    return {"run": record.run, **{side: {f"test_{key}": of[key] for key in of} for side, of in sides.items()}}


def replace_output(hooks: ExitStack, training: "Training", prepared: "Prepared", kind: str, name: str) -> None:
    """Has a layer give zeros, or its mean output over the training images, whatever its input."""
    import torch

    from ablate.data.batches import EvaluationBatches

    model = prepared.trainee.model
    layers = dict(model.named_modules())
    if name not in layers:
        raise ValueError(f"the model has no such layer; {nearest(name, list(filter(None, layers)))}")
    layer, means, images = layers[name], list[torch.Tensor](), 0

    def add(_layer: object, _input: object, output: object) -> None:
        nonlocal images
        if not isinstance(output, torch.Tensor):
            raise ValueError(f"{kind}: {name}: this layer gives no tensor; name one within it")
        means[:] = [sum(means, output.double().sum(0))]
        images += len(output)  # a layer may run several times on each batch

    batches = EvaluationBatches(prepared.data.train, prepared.device)
    with torch.inference_mode(), layer.register_forward_hook(add):
        for pixels, _ in islice(batches, None if kind == "mean" else 1):
            model.eval()(training.step.normalise(pixels))
    if not means:
        raise ValueError(f"{kind}: {name}: the model never runs this layer; name one that it runs")
    given = (means[0] / images).float() * (kind == "mean")
    hook = layer.register_forward_hook(lambda _layer, _input, output: given.expand_as(output))
    hooks.callback(hook.remove)


def read_edit(text: str) -> Edit | tuple[str, str]:
    """Returns the edit that a text says: `bypass: c3`, `zero: c3`, `{set: {p: 0.2}, at: drop3}`.

    Raises:
        ValueError: It is none, or none that changes what a trained network computes.
    """
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError:
        raw = None
    if not isinstance(raw, dict):
        raise ValueError(
            f"{text}: is no edit; write `bypass: LAYER`, `zero: LAYER`, `mean: LAYER` or an edit as in YAML"
        )
    for kind in _OUTPUTS:
        if kind in raw:
            if len(raw) > 1 or not isinstance(raw[kind], str):
                raise ValueError(f"{text}: {kind} takes the name of a layer and nothing else")
            return kind, raw[kind]
    edit = read_edits({"knockout": raw})["knockout"]
    if edit.freeze is not None:
        raise ValueError(f"{text}: freezing changes nothing of a trained network; try bypass, zero or mean")
    return edit


def main(arguments: Sequence[str]) -> int:
    """Knocks a part out of trained networks; returns 0."""
    parser = argparse.ArgumentParser(prog="ablate knockout", description=(__doc__ or "").partition(": ")[2])
    parser.add_argument("folder", type=Path, help="a run's folder, or a study's for all its complete runs")
    parser.add_argument("edit", help="`bypass: LAYER`, `zero: LAYER`, `mean: LAYER`, or an edit as in YAML")
    parser.add_argument("--allow", action="append", default=[], metavar="PACKAGE", help="a package whose code may run")
    options = parser.parse_args(arguments)
    edit = read_edit(options.edit)
    one = RunDirectory(options.folder)
    is_run = one.record_file.is_file()
    directories = [one] if is_run else StudyDirectory(options.folder).runs()
    known = [(directory, record) for directory in directories if (record := directory.read_record()) is not None]
    complete = [(directory, record) for directory, record in known if record.is_complete]
    if not complete:
        raise ValueError(f"{options.folder}: there is no complete run; give the folder of a run or of a study")
    if any(record.task is not None or record.imported is not None for _, record in complete):
        raise ValueError(f"{options.folder}: only networks that `python -m ablate` trained can be built again here")
    started, made, left_out = now(), list[Plain](), dict[str, str]()
    for directory, record in complete:
        try:
            made.append(knock_out(record, directory, edit, options.allow))
        except ValueError as error:
            left_out.setdefault(record.variant, str(error).removeprefix("model.edits.knockout."))
    if not made:
        raise ValueError(f"{options.edit}: {next(iter(left_out.values()))}")
    rows = [("run", "test accuracy", "after", "difference")]
    for each in made:
        before, after = (each[side]["test_accuracy"] for side in ("before", "after"))
        rows.append((each["run"], f"{before:.2%}", f"{after:.2%}", f"{100 * (after - before):+.2f} pp"))
    say(aligned(rows))
    for variant, why in left_out.items():
        say(f"{variant} is left out: {why}")
    study = StudyDirectory(options.folder.parents[1] if is_run else options.folder)
    where = edit.where if isinstance(edit, Edit) else edit[1]
    file = study.write(KNOCKOUT, started, {"edit": options.edit, "part": where, "runs": made})
    say(f"\nWritten to {file}; the report of {study.folder} shows it.")
    return 0
