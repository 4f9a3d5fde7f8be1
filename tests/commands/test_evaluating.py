"""`rlsp eval`: kept samples, resumption, scoring again, presets, engines."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from trl_rlsp.cli import main
from trl_rlsp.commands import Eval, parse_eval
from trl_rlsp.errors import ConfigError
from trl_rlsp.evaluation import load_evaluation, load_scored
from trl_rlsp.generation import Prefixed, load_model

ROWS = [
    {"problem": "8 1 9 : 72", "answer": "72", "level": "Level 10", "subject": "Algebra"},
    {"problem": "1 2 : 3", "answer": "3", "level": "Level 2", "subject": "Algebra"},
]


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


def read_samples(folder):
    lines = (folder / "samples.jsonl").read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1]]


def texts_of(folder):
    return {(s.problem, s.sample): s.text for s in load_scored(folder)}


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


@pytest.fixture(scope="module")
def arguments(taught_folder, rows):
    fixed = {
        "model_name_or_path": taught_folder,
        "dataset": rows,
        "system_prompt": "none",
        "dtype": "float32",
        "num_samples": 8,
        "temperature": 1,
        "max_new_tokens": 12,
        "batch_size": 4,
    }
    return ["eval", *(str(text) for name, value in fixed.items() for text in (f"--{name}", value))]


@pytest.fixture(scope="module")
def evaluated(arguments, tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluated") / "run"
    assert main([*arguments, "--output_dir", str(folder)]) == 0
    return folder


@pytest.fixture
def copied(evaluated, tmp_path):
    shutil.copytree(evaluated, tmp_path / "copy")
    return tmp_path / "copy"


class TestMemory:
    """Three sequences fit: each has keys and values of all its tokens, and two copies of a position's logits."""

    @pytest.mark.parametrize(("fitting", "warned"), [(3.5, True), (4.5, False)])
    def test_a_batch_that_does_not_fit_a_gpu(self, arguments, taught_folder, monkeypatch, caplog, fitting, warned):
        model, tokenizer = load_model(taught_folder)
        config = model.config
        asked = [Prefixed([{"role": "user", "content": row["problem"]}], (), 0, 0) for row in ROWS]
        prompt = max(len(one.ids(tokenizer)[0]) for one in asked)
        head = config.hidden_size // config.num_attention_heads
        numbers = 2 * config.num_hidden_layers * config.num_key_value_heads * head
        each = 4 * (prompt + 64) * numbers + 2 * 4 * config.vocab_size
        bytes_ = 4 * model.num_parameters() + fitting * each
        monkeypatch.setattr("trl_rlsp.commands._measure._gpu_memory", lambda: bytes_ / 0.9 / 2**30)
        assert main([*arguments, "--num_samples", "1", "--max_new_tokens", "64"]) == 0
        assert ("batch_size 4 with transformers, at the full length of" in caplog.text) == warned
        assert ("does not fit 0 GiB: batch_size: 3 does" in caplog.text) == warned


class TestFigures:
    def test_of_every_k(self, evaluated):
        figures = load_evaluation(evaluated)
        assert (list(figures.pass_at), list(figures.maj_at)) == ([1, 2, 4, 8], [2, 4, 8])
        assert list(figures.cover_at) == [1 / 8, 0.2, 0.5, 0.8, 1.0]
        assert figures.cover_at[1 / 8] == figures.pass_at[8]
        assert figures.pass_at_1.mean <= figures.pass_at[2].mean <= figures.pass_at[8].mean
        assert "bootstrap over problems" in read_json(evaluated / "metrics.json")["intervals"]

    def test_by_level_and_subject(self, evaluated):
        figures = load_evaluation(evaluated)
        assert list(figures.levels) == ["Level 2", "Level 10"]
        assert [part.problems for part in figures.levels.values()] == [1, 1]
        assert figures.subjects["Algebra"].pass_at_1 == figures.pass_at_1

    def test_shown(self, arguments, copied, capsys, monkeypatch):
        monkeypatch.setenv("COLUMNS", "250")
        assert main([*arguments, "--output_dir", str(copied), "--ks", "3"]) == 0
        shown = capsys.readouterr().out
        assert "16 of 16 samples are in" in shown
        assert "pass@3" in shown
        assert "Cover@tau" in shown
        assert "Level 10" in shown
        assert "Algebra" not in shown  # one subject is no table


class TestResume:
    def test_what_is_missing_is_drawn_as_it_would_have_been(self, arguments, evaluated, copied):
        (copied / "metrics.json").unlink()
        lines = (copied / "samples.jsonl").read_bytes().splitlines(keepends=True)
        order = [json.loads(line) for line in lines]
        first = [i for i, line in enumerate(order) if line["problem"] == 1]  # the shorter prompt is drawn first
        kept = [lines[i] for i in first[:4]]
        (copied / "samples.jsonl").write_bytes(b"".join(kept) + lines[first[4]][:20])
        assert main([*arguments, "--output_dir", str(copied)]) == 0
        assert texts_of(copied) == texts_of(evaluated)
        assert load_evaluation(copied) == load_evaluation(evaluated)

    @pytest.mark.parametrize(
        ("changed", "message"),
        [
            (["--temperature", "0.5"], "temperature: 1.0 then, 0.5 now"),
            (["--seed", "3"], "seed: 0 then, 3 now"),
            (["--dataset_limit", "1"], "problems: "),
            (["--system_prompt", "Think."], "prompts: "),
        ],
    )
    def test_changed_settings_are_refused_before_the_model_is_loaded(
        self, arguments, copied, capsys, changed, message, monkeypatch
    ):
        monkeypatch.setattr("trl_rlsp.commands.Eval.open_engine", lambda *_: pytest.fail("a model was loaded"))
        assert main([*arguments, *changed, "--output_dir", str(copied)]) == 2
        error = capsys.readouterr().err
        assert "holds samples drawn with other settings" in error
        assert message in error

    def test_another_model_in_the_same_folder_is_refused(self, arguments, taught_folder, copied, tmp_path, capsys):
        other = tmp_path / "model"
        shutil.copytree(taught_folder, other)
        weights = (other / "model.safetensors").read_bytes()
        (other / "model.safetensors").write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
        assert main([*arguments, "--model_name_or_path", str(other), "--output_dir", str(copied)]) == 2
        assert "drawn with other settings (model: " in capsys.readouterr().err

    @pytest.mark.slow
    def test_after_a_real_kill(self, arguments, tmp_path):
        """SIGKILL in the middle; the same command ends with every sample once, and those that were there unchanged."""
        given = [*arguments, "--num_samples", "400", "--batch_size", "2", "--output_dir", str(tmp_path / "run")]
        command = [sys.executable, "-m", "trl_rlsp", *given]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        samples = tmp_path / "run" / "samples.jsonl"
        deadline = time.monotonic() + 240
        while not samples.is_file() or samples.read_bytes().count(b"\n") < 20:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        before = samples.read_bytes()
        assert 20 <= before.count(b"\n") < 800
        kept = [json.loads(line) for line in before.split(b"\n")[:-1]]
        samples.write_bytes(before + b'{"problem": 1, "sam')
        done = subprocess.run(command, env=os.environ | {"COLUMNS": "200"}, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        assert f"{len(kept)} of 800 samples are in" in done.stdout
        texts = texts_of(tmp_path / "run")
        assert sorted(texts) == [(problem, sample) for problem in (0, 1) for sample in range(400)]
        assert all(texts[line["problem"], line["sample"]] == line["text"] for line in kept)
        assert len(samples.read_bytes().splitlines()) == 800


class TestRescore:
    def test_without_a_model(self, evaluated, copied, capsys, monkeypatch):
        monkeypatch.setattr("trl_rlsp.commands.Eval.open_engine", lambda *_: pytest.fail("a model was loaded"))
        lines = read_samples(copied)
        for line in lines:
            line |= {"score": 0.25, "answer": "wrong", "reason": "mismatch", "finished": False}
        (copied / "samples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        assert main(["eval", "--rescore", str(copied)]) == 0
        assert load_scored(copied) == load_scored(evaluated)
        assert load_evaluation(copied) == load_evaluation(evaluated)
        assert read_json(copied / "metrics.json")["settings"] == read_json(evaluated / "metrics.json")["settings"]
        assert "2 problems x 8 completions" in capsys.readouterr().out

    def test_without_its_problems(self, copied, capsys):
        (copied / "problems.parquet").unlink()
        assert main(["eval", "--rescore", str(copied)]) == 2
        assert "holds no problems.parquet beside its samples" in capsys.readouterr().err

    def test_scored_after_all_were_drawn_and_none_scored(self, evaluated, copied):
        (copied / "metrics.json").unlink()
        assert main(["eval", "--rescore", str(copied)]) == 0
        assert load_evaluation(copied) == load_evaluation(evaluated)

    def test_samples_missing(self, copied, capsys):
        lines = (copied / "samples.jsonl").read_bytes().splitlines(keepends=True)
        (copied / "samples.jsonl").write_bytes(b"".join(lines[:-1]))
        assert main(["eval", "--rescore", str(copied)]) == 2
        assert "has 15 of 16 samples: finish it with the command that began it" in capsys.readouterr().err

    def test_nothing_there(self, tmp_path, capsys):
        assert main(["eval", "--rescore", str(tmp_path)]) == 2
        assert "holds no samples.jsonl" in capsys.readouterr().err


class TestVerifierSettings:
    def test_a_template_that_opens_the_reasoning(self, taught_folder, tmp_path):
        """Completions of R1 distillations only close their reasoning; one that does not is cut off while thinking."""
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(taught_folder)
        tokenizer.chat_template += "{% if add_generation_prompt %}<think>{% endif %}"
        tokenizer.save_pretrained(tmp_path)
        texts = ["so \\boxed{7}", "so</think> \\boxed{7}"]
        for end, model, scores in (
            ("</think>", tmp_path, [0.0, 1.0]),
            ("</think>", taught_folder, [1.0, 1.0]),
            ("</reasoning>", tmp_path, [1.0, 1.0]),
        ):
            with Eval(end_of_thinking=end).scorer(str(model)) as verifier:
                assert [v.score for v in verifier.verdicts(texts, solution=["7", "7"])] == scores

    def test_a_model_without_a_tokenizer_costs_a_warning(self, tmp_path, caplog):
        Eval().scorer(str(tmp_path)).close()
        assert "give --thinking_required" in caplog.text

    def test_an_outcome_of_ones_own(self, copied, tmp_path, monkeypatch):
        (tmp_path / "own_outcome.py").write_text(
            "def boxed(completions, **_):\n    return ['boxed' in text for text in completions]\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        assert main(["eval", "--rescore", str(copied), "--verifier", "own_outcome.boxed"]) == 0
        assert {("boxed" in s.text, s.score) for s in load_scored(copied)} == {(True, 1.0), (False, 0.0)}

    def test_answers_after_another_end_of_thinking(self, copied, evaluated):
        lines = read_samples(copied)
        for line in lines:
            line["text"] = "maybe \\boxed{9} [end] " + line["text"]
        (copied / "samples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        assert main(["eval", "--rescore", str(copied), "--end_of_thinking", "[end]"]) == 0
        assert [s.score for s in load_scored(copied)] == [s.score for s in load_scored(evaluated)]


class TestPreset:
    PAPER = {"temperature": 0.7, "top_p": 1.0, "max_new_tokens": 8192}

    @pytest.mark.parametrize(("preset", "samples"), [("math-500", 4), ("aime-2024", 16)])
    def test_the_papers_settings(self, preset, samples):
        settings, name, sampling = parse_eval(["--preset", preset, "--model_name_or_path", "m"])
        assert (settings.dataset, name, sampling.n) == (preset, "m", samples)
        assert {field: getattr(sampling, field) for field in self.PAPER} == self.PAPER

    def test_what_is_given_wins(self, tmp_path):
        (tmp_path / "eval.yaml").write_text("preset: aime-2024\nnum_samples: 3\ntemperature: 0.5\n")
        settings = Eval.parse(["--config", str(tmp_path / "eval.yaml"), "--temperature", "0.6"])
        assert (settings.dataset, settings.num_samples, settings.temperature) == ("aime-2024", 3, 0.6)

    def test_unknown(self):
        with pytest.raises(ConfigError, match="preset is one of math-500, aime-2024, got 'gsm8k'"):
            Eval.parse(["--preset", "gsm8k"])


class TestBadInput:
    @pytest.mark.parametrize(
        ("given", "message"),
        [
            (["--engine", "magic"], "engine is one of transformers, vllm, server, got 'magic'"),
            (["--engine", "server"], "server_url is for engine 'server' only, which requires it, got engine='server'"),
            (["--server_url", "http://x/v1"], "server_url is for engine 'server' only, which requires it"),
            (["--ks", "2", "9", "--num_samples", "8"], "ks are from 1 to the samples per problem (8), got 9"),
            (["--ks", "0"], "ks are from 1 to the samples per problem (1), got 0"),
        ],
    )
    def test_refused_before_anything_is_loaded(self, capsys, given, message):
        assert main(["eval", "--model_name_or_path", "m", "--dataset", "no.csv", *given]) == 2
        assert message in capsys.readouterr().err

    def test_engine_not_installed(self, capsys, monkeypatch):
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        assert main(["eval", "--model_name_or_path", "m", "--dataset", "no.csv", "--engine", "vllm"]) == 2
        assert "engine 'vllm' needs vllm: pip install 'trl-rlsp[vllm]'" in capsys.readouterr().err
