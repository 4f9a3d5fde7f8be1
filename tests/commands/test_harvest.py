"""`rlsp harvest` on what a GRPO run of TRL really logged."""

from __future__ import annotations

import json

import pytest

from trl_rlsp.cli import main
from trl_rlsp.commands import Harvest
from trl_rlsp.errors import ConfigError
from trl_rlsp.problems import load_demonstrations

RIGHT = {"8 1 9 : 72": "72", "1 2 : 3": "3"}


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read_json(path):
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def trained(tmp_path_factory, taught_folder):
    """The output folder of a GRPO run of the taught model: 4 updates of 16 completions, each batch learned twice."""
    place = tmp_path_factory.mktemp("trained")
    # a generation takes 4 prompts; TRL leaves out what does not fill one
    data = write_rows(place / "train.jsonl", [{"problem": p, "answer": a} for p, a in RIGHT.items()] * 4)
    settings = (
        f"model_name_or_path: {taught_folder}\ndtype: float32\noutput_dir: {place / 'rlsp'}\ndataset: {data}\n"
        "system_prompt: none\nnum_generations: 8\nper_device_train_batch_size: 16\nsteps_per_generation: 2\n"
        "max_completion_length: 16\nmax_steps: 4\nlearning_rate: 1.0e-9\nbf16: false\nuse_cpu: true\n"
        "gradient_checkpointing: false\nlogging_steps: 1\nsave_strategy: 'no'\nreport_to: none\n"
        "env: {OMP_NUM_THREADS: 1}\n"
    )
    (place / "grpo.yaml").write_text(settings)
    assert main(["grpo", "--config", str(place / "grpo.yaml")]) == 0
    return place


@pytest.fixture
def harvest(trained, tmp_path, capsys, monkeypatch):
    """Harvest the run: (exit status, output, rows, figures)."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments, config=True):
        output = tmp_path / "out" / "demonstrations.jsonl"
        given = ["--config", str(trained / "grpo.yaml")] if config else []
        status = main(["harvest", str(trained), "--output", str(output), *given, *map(str, arguments)])
        shown = capsys.readouterr()
        rows = [json.loads(line) for line in output.read_text().splitlines()] if output.is_file() else []
        figures = read_json(output.with_suffix(".json")) if rows else {}
        return status, shown.out + shown.err, rows, figures

    return run


class TestARealRun:
    def test_what_is_kept(self, harvest, taught):
        status, shown, rows, figures = harvest()
        assert status == 0
        assert {row["prompt"][-1]["content"]: row["reasoning"] for row in rows} == {p: taught[p][0] for p in RIGHT}
        assert all(row["answer"] == RIGHT[row["prompt"][-1]["content"]] for row in rows)
        # 32 completions a generation, two generations, each logged once for each of its two updates
        assert figures["read"] == 64 == len(rows) + sum(figures["dropped"].values())
        assert {"not right", "duplicate"} <= figures["dropped"].keys()
        assert "kept, for 2 problems" in shown

    def test_provenance(self, harvest, trained):
        _, _, rows, _ = harvest()
        for row in rows:
            origin = row["provenance"]
            assert origin["run"] == trained.name
            assert (trained / "rlsp" / "completions" / origin["file"]).is_file()
            assert origin["verdict"] == "match"
            assert origin["rewards"]["outcome_verifier"] == 1.0
            assert "length_exploration" in origin["rewards"]

    def test_sft_reads_it(self, harvest, tmp_path):
        _, _, rows, _ = harvest()
        loaded = load_demonstrations(tmp_path / "out" / "demonstrations.jsonl")
        assert [turn["role"] for turn in loaded["messages"][0]] == ["user", "assistant"]
        assert loaded["messages"][0][1]["content"] == rows[0]["reasoning"]

    def test_the_same_again(self, harvest, tmp_path):
        harvest()
        files = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
        harvest()
        assert {path: path.read_bytes() for path in files} == files

    def test_a_run_says_what_it_was_trained_on(self, harvest, trained, monkeypatch):
        monkeypatch.chdir("/")
        status, _, rows, figures = harvest(config=False)
        assert status == 0
        assert {row["provenance"]["verdict"] for row in rows} != {"logged"}
        assert figures["source"] == str(trained / "train.jsonl")

    def test_without_the_data_set_the_log_decides(self, harvest, taught, trained):
        record = trained / "rlsp" / "settings.json"
        record.rename(trained / "kept.json")
        status, _, rows, figures = harvest(config=False)
        (trained / "kept.json").rename(record)
        assert status == 0
        assert {row["reasoning"] for row in rows} == {taught[p][0] for p in RIGHT}
        assert {row["provenance"]["verdict"] for row in rows} == {"logged"}
        assert figures["source"] is None

    def test_verified_again_against_another_gold_answer(self, harvest, tmp_path):
        rows = [{"problem": "8 1 9 : 72", "answer": "73"}, {"problem": "1 2 : 3", "answer": "3"}]
        other = write_rows(tmp_path / "other.jsonl", rows)
        _, _, rows, figures = harvest("--dataset", other, "--system_prompt", "none", config=False)
        assert [row["prompt"][-1]["content"] for row in rows] == ["1 2 : 3"]
        assert figures["source"] == str(other)

    def test_evaluation_sets_are_left_out(self, harvest, tmp_path):
        held_out = write_rows(tmp_path / "test.jsonl", [{"problem": "8 1 9  : 72", "answer": "72"}])
        _, shown, rows, figures = harvest("--exclude", held_out)
        assert [row["prompt"][-1]["content"] for row in rows] == ["1 2 : 3"]
        assert figures["dropped"]["held-out problem"] > 0
        assert figures["excluded"] == [str(held_out)]
        assert "dropped: held-out problem" in shown

    def test_nothing_left(self, harvest, tmp_path):
        both = [write_rows(tmp_path / f"{n}.jsonl", [{"problem": p, "answer": "1"}]) for n, p in enumerate(RIGHT)]
        status, shown, rows, _ = harvest("--exclude", both[0], "--exclude", both[1])
        assert status == 2
        assert "DataError: nothing to harvest: all 64 completions were dropped" in shown
        assert rows == []


class TestARound:
    def test_the_next_round(self, trained, tmp_path, capsys):
        output = tmp_path / "demonstrations.jsonl"
        band = ("--solve_rate_low", "0", "--solve_rate_high", "1")
        given = ("--config", str(trained / "grpo.yaml"), "--output", str(output), "--round", "2")
        assert main(["harvest", str(trained), *given, *band]) == 0
        figures = read_json(output.with_suffix(".json"))["round"]
        assert figures == {"mixture": 2, "problems_retained": 2, "problems_unseen": 0, "problems_left_out": 0}
        problems = [json.loads(line) for line in (tmp_path / "problems.jsonl").read_text().splitlines()]
        assert {line["problem"][0]["content"]: line["answer"] for line in problems} == RIGHT
        assert "problems retained: 2" in capsys.readouterr().out

    def test_no_problem_left(self, trained, tmp_path, capsys):
        band = ("--solve_rate_low", "0.99", "--solve_rate_high", "1")
        given = ("--config", str(trained / "grpo.yaml"), "--output", str(tmp_path / "d.jsonl"), "--round", "2")
        assert main(["harvest", str(trained), *given, *band]) == 2
        assert "no problem is left for the next round: 2 have a solve rate outside" in capsys.readouterr().err
        assert not (tmp_path / "d.json").exists()  # the stage is not complete


class TestAnEvaluation:
    def test_rejection_sampling(self, tmp_path, capsys):
        rows = [{"problem": "What is 3 + 4?", "answer": "7"}]
        settings = {"dataset": str(write_rows(tmp_path / "train.jsonl", rows)), "system_prompt": "none"}
        (tmp_path / "metrics.json").write_text(json.dumps({"settings": settings}))
        sample = {"problem": 0, "tokens": 9, "finished": True, "score": None, "reason": "?"}
        texts = ["3 + 4 = 7 \\boxed{7}", "it is 8 \\boxed{8}"]
        write_rows(tmp_path / "samples.jsonl", [{**sample, "text": text} for text in texts])
        assert main(["harvest", str(tmp_path)]) == 0
        (row,) = [json.loads(line) for line in (tmp_path / "harvest" / "demonstrations.jsonl").open()]
        assert row["reasoning"] == texts[0]
        assert row["prompt"] == [{"role": "user", "content": "What is 3 + 4?"}]


class TestArguments:
    def test_defaults(self):
        given = Harvest.parse(["run"])
        assert (given.per_problem, given.prefer, given.novelty) == (2, "diverse", 0.2)
        assert given.exclude == given.of_data == []

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--per_problem", "0"], "per_problem is at least 1, got 0"),
            (["--prefer", "longest"], "prefer: invalid choice: 'longest'"),
            (["--novelty", "2"], "novelty is a share between 0 and 1, got 2.0"),
            (["--harvested_share", "0"], "harvested_share is above 0 and at most 1, got 0.0"),
            (["--solve_rate_low", "0.95"], "a band of solve rates is 0 <= low <= high <= 1, got 0.95 to 0.9"),
            (["--output", "rows.json"], r"--output is a \.jsonl file, got 'rows\.json'"),
            (["--per_problems", "3"], "--per_problems"),
        ],
    )
    def test_what_cannot_work(self, arguments, message):
        with pytest.raises(ConfigError, match=message):
            Harvest.parse(["run", *arguments])

    def test_no_run(self, tmp_path, capsys):
        assert main(["harvest", str(tmp_path / "none")]) == 2
        assert "SourceError: there is no file or folder" in capsys.readouterr().err
