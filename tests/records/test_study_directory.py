"""The layout of a study's folder."""

from pathlib import Path

from reading_runs import example_record

from ablate.records.study_directory import StudyDirectory, studies_below, studies_in


def test_the_layout(tmp_path: Path) -> None:
    study = StudyDirectory(tmp_path / "outputs" / "trial")
    assert study.runs() == [] and study.files("timing") == []
    for variant, seed in (("plain", 1), ("plain", 0), ("bn", 10)):
        directory = study.run(variant, seed, "0123abcd")
        directory.folder.mkdir(parents=True)
        directory.write_record(example_record(variant=variant, seed=seed))
    (study.folder / "plain" / "seed2-0123abcd").mkdir()  # killed before its record
    (study.folder / "note.txt").write_text("")
    study.report.mkdir()
    written = study.write("plan", "2026-01-01T00:00:00+00:00", {"cells": []})
    names = ["bn/seed10-0123abcd", "plain/seed0-0123abcd", "plain/seed1-0123abcd"]
    assert sorted(study.names()) == names
    assert [run.folder for run in study.runs()] == [study.folder / name for name in names]
    assert {run.folder.name for run in study.runs_of("plain", "0123abcd")} == {
        f"seed{seed}-0123abcd" for seed in (0, 1, 2)
    }
    assert study.files("plan") == [written] and written == study.folder / "plan" / "2026-01-01T000000Z.json"
    for place in (tmp_path, study.folder.parent, study.folder):
        assert [each.folder for each in studies_below(place)] == [study.folder]
    assert studies_below(study.folder / "plain") != [] and studies_below(tmp_path / "elsewhere") == []
    assert [each.folder for each in studies_in(study.folder.parent)] == [study.folder]
