"""`rlsp filter` from the command line, on a model that solves one problem always, one never and two sometimes."""

from __future__ import annotations

import json

import pytest

from trl_rlsp.cli import main
from trl_rlsp.commands import Filter
from trl_rlsp.errors import ConfigError
from trl_rlsp.problems import load_problems

# The taught model answers "8 1 9 : 72" with 72, with 17 or not at all, each in a third of its samples, and
# "1 2 : 3" with 3, with 1 or not at all.
ROWS = [
    {"problem": "8 1 9 : 72", "answer": "72", "id": "sometimes"},
    {"problem": "8 1 9 : 72", "answer": "5", "id": "never"},
    {"problem": "1 2 : 3", "answer": "3", "id": "sometimes too"},
    {"problem": "1 2 : 3", "answer": "\\frac{1}{", "id": "not scorable"},
]


@pytest.fixture
def stage(tmp_path, taught_folder, monkeypatch):
    """An RL stage's file, in the folder that is the present one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in ROWS))
    (tmp_path / "grpo.yaml").write_text(
        f"env:\n  OMP_NUM_THREADS: 1\nmodel_name_or_path: {taught_folder}\ndataset: rows.jsonl\nsystem_prompt: none\n"
        "dtype: float32\nlearning_rate: 1.0e-6\nmax_completion_length: 12\nexploration: length\nuse_peft: true\n"
        "seed: 7\noutput_dir: runs/rl\nload_in_4bit: true\n"
    )
    return ["filter", "--config", "grpo.yaml", "--n", "16", "--output", "kept.jsonl"]


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


class TestFile:
    def test_keeps_what_is_solved_sometimes(self, stage, tmp_path, capsys):
        assert main(stage) == 0
        kept = lines(tmp_path / "kept.jsonl")
        assert [line["id"] for line in kept] == ["sometimes", "sometimes too"]
        # a third of 16 samples; the chance of all or none is below 0.2 %
        assert all(0.1 <= line["solve_rate"] <= 0.9 and line["scored_samples"] == 16 for line in kept)
        figures = json.loads((tmp_path / "kept.json").read_text())
        assert figures["dropped"] == {"solved too rarely": 1, "solved too often": 0, "not scorable": 1}
        assert figures["not_scorable"] == {"3": ["gold_unparseable"]}
        assert (figures["problems"], figures["kept"]) == (4, 2)
        shown = " ".join(capsys.readouterr().out.split())
        assert "dropped: not scorable" in shown
        assert "--dataset kept.jsonl --prompt_style task --system_prompt none" in shown

    def test_solve_rates_are_those_of_the_samples(self, stage, tmp_path):
        assert main(stage) == 0
        drawn = lines(tmp_path / "kept-samples" / "samples.jsonl")
        assert len(drawn) == 4 * 16
        for line, (problem, answer) in zip(lines(tmp_path / "kept.jsonl"), [(0, "72"), (2, "3")], strict=True):
            right = [s for s in drawn if s["problem"] == problem and s["text"].endswith(f"\\boxed{{ {answer} }}")]
            assert line["solve_rate"] == len(right) / 16

    def test_is_read_back_as_the_source(self, stage, tmp_path):
        assert main(stage) == 0
        source = load_problems("rows.jsonl", system_prompt=None).to_list()
        assert load_problems("kept.jsonl", system_prompt=None).to_list() == [source[0], source[2]]

    def test_rl_trains_on_it(self, stage, tmp_path):
        assert main(stage) == 0
        settings = ["--num_generations", "4", "--per_device_train_batch_size", "8", "--max_steps", "1"]
        cpu = ["--bf16", "False", "--use_cpu", "--report_to", "none", "--load_in_4bit", "False"]
        more = ["--lora_target_modules", "all-linear", "--logging_steps", "1"]
        assert main(["grpo", "--config", "grpo.yaml", "--dataset", "kept.jsonl", *settings, *cpu, *more]) == 0
        assert json.loads((tmp_path / "runs" / "rl" / "stage.json").read_text())["steps"] == 1


class TestResume:
    def test_samples_are_not_drawn_again(self, stage, tmp_path, capsys):
        assert main(stage) == 0
        path = tmp_path / "kept-samples" / "samples.jsonl"
        drawn = path.read_bytes()
        assert main([*stage, "--low", "0", "--high", "1"]) == 0  # another band, the same samples
        assert "64 of 64 samples are in kept-samples already" in capsys.readouterr().out
        assert path.read_bytes() == drawn
        assert len(lines(tmp_path / "kept.jsonl")) == 3
        path.write_bytes(drawn[: len(drawn) // 2])  # cut off in the middle of a line
        assert main(stage) == 0
        assert len(lines(path)) == 64
        there = drawn[: len(drawn) // 2].rpartition(b"\n")[0]
        assert path.read_bytes().startswith(there)
        assert [line["id"] for line in lines(tmp_path / "kept.jsonl")] == ["sometimes", "sometimes too"]

    def test_other_samples_are_refused(self, stage, capsys):
        assert main(stage) == 0
        assert main([*stage, "--temperature", "0.5"]) == 2
        assert "temperature: 1.0 then, 0.5 now" in capsys.readouterr().err


class TestSettings:
    def test_of_an_rl_stage(self, stage, taught_folder):
        settings = Filter.parse([*stage[1:], "--low", "0.25"])
        assert (settings.max_new_tokens, settings.temperature) == (12, 1.0)
        assert (settings.n, settings.num_samples, settings.low, settings.high) == (16, 16, 0.25, 0.9)
        assert (settings.seed, settings.output_dir) == (0, "kept-samples")  # not those of the training
        assert settings.model_name_or_path == str(taught_folder)

    def test_of_an_evaluation_with_a_list(self, tmp_path):
        (tmp_path / "eval.yaml").write_text(
            "model_name_or_path: m\ndataset: math\nnum_samples: 4\nks: [1, 2]\nseed: 5\n"
        )
        settings = Filter.parse(["--config", str(tmp_path / "eval.yaml")])
        assert (settings.ks, settings.n, settings.seed) == ([1, 2], 8, 0)

    def test_without_a_file(self):
        settings = Filter.parse(["--dataset", "math", "--model_name_or_path", "m"])
        assert (settings.n, settings.max_new_tokens, settings.temperature) == (8, 4096, 1.0)
        assert (settings.output, settings.output_dir) == ("problems.jsonl", "problems-samples")

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            (["--num_samples", "4"], "given with --n, got --num_samples 4"),
            (["--output", "kept.csv"], r"--output is a .jsonl file, got 'kept.csv'"),
            (["--preset", "math-500"], "neither --preset nor --rescore"),
            (["--learning_rate", "1"], "--learning_rate"),
        ],
    )
    def test_refused(self, given, message):
        with pytest.raises(ConfigError, match=message):
            Filter.parse(["--dataset", "math", "--model_name_or_path", "m", *given])

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            (["--low", "0.9", "--high", "0.1"], "0 <= low <= high <= 1, got 0.9 to 0.1"),
            (["--n", "0"], "n must be at least 1, got 0"),
            (["--dataset", "no.jsonl"], "there is none at 'no.jsonl'"),
            (["--model_name_or_path", "no/model"], "no model at 'no/model'"),
        ],
    )
    def test_refused_by_name(self, stage, capsys, given, message):
        assert main([*stage, *given]) == 2
        assert message in capsys.readouterr().err

    def test_nothing_left(self, stage, tmp_path, capsys):
        assert main([*stage, "--low", "1.0", "--high", "1.0"]) == 2
        assert "no problem of 4 has a solve rate from 1.0 to 1.0" in capsys.readouterr().err
        assert not (tmp_path / "kept.jsonl").exists()
