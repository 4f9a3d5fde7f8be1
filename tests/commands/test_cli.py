"""The command `rlsp`: what it takes, and that it refuses bad input by name before it loads a model."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from trl_rlsp import __version__
from trl_rlsp.cli import COMMANDS, main, usage
from trl_rlsp.stages import apply_environment, environment_of

CPU = ("--bf16", "False", "--use_cpu", "--report_to", "none")
COUNTDOWN = "reasoning_gym:countdown?size=4"


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"problem": "1 + 1?", "answer": "2"}\n')
    return path


class TestUsage:
    def test_every_command_is_named(self):
        for command in COMMANDS:
            assert f"\n  {command} " in usage() or f"rlsp {command}" in usage()

    def test_it_fits_a_screen(self):
        lines = usage().splitlines()
        assert len(lines) < 24  # the prompt is the 24th
        assert max(map(len, lines)) <= 80
        assert [line for line in lines if line.endswith(":")] == ["prepare:", "train:", "measure:", "look:"]

    @pytest.mark.parametrize("flag", ["-h", "--help", "help"])
    def test_help(self, capsys, flag):
        assert main([flag]) == 0
        assert capsys.readouterr().out == f"{usage()}\n"

    def test_nothing(self, capsys):
        assert main([]) == 2
        assert capsys.readouterr().out == f"{usage()}\n"

    def test_version(self, capsys):
        assert main(["--version"]) == 0
        assert capsys.readouterr().out == f"{__version__}\n"

    @pytest.mark.parametrize(
        ("command", "fields"),
        [
            ("run", ["recipe", "--output_dir", "--seed", "--grpo.learning_rate"]),
            ("sft", ["--dataset", "--max_cut_share", "--demonstrations", "--model_name_or_path", "--learning_rate"]),
            ("grpo", ["--dataset", "--alpha", "--gate", "--length_c", "--num_generations", "--model_name_or_path"]),
            ("eval", ["--dataset", "--num_samples", "--max_new_tokens", "--temperature"]),
            ("check", ["--dataset", "--dataset_columns"]),
        ],
    )
    def test_help_of_each_command(self, capsys, command, fields):
        with pytest.raises(SystemExit, match=r"^0$"):
            main([command, "--help"])
        shown = capsys.readouterr().out
        assert f"usage: rlsp {command}" in shown
        for field in fields:
            assert field in shown


class TestBadInput:
    """Status 2 and one line that names the value; `model_name_or_path` is always a place without a model."""

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["train"], "ConfigError: unknown command 'train'; the commands are init, recipes, check"),
            (["sft", "--config", "no.yaml"], "cannot read the configuration 'no.yaml': No such file"),
            (["sft", *CPU], "ConfigError: no data: set `dataset` in the YAML file or with --dataset SOURCE"),
            (["grpo", *CPU], "ConfigError: no data: set `dataset`"),
            (["check"], "ConfigError: no data: set `dataset`"),
            (["eval"], "ConfigError: no model: set `model_name_or_path`"),
            (
                ["sft", *CPU, "--dataset", "no.jsonl"],
                "SourceError: a data file must exist: there is none at 'no.jsonl'",
            ),
            (["sft", *CPU, "--dataset", "x", "--demonstrations", "magic"], "'file' or 'search', got 'magic'"),
            (["sft", *CPU, "--max_cut_share", "1.5"], "max_cut_share is a share from 0 to 1, got 1.5"),
            (["grpo", *CPU, "--alpha", "7"], "above 0 and at most 1, got 7.0"),
            (["grpo", *CPU, "--gate", "some"], "'incorrect' or 'adaptive', got 'some'"),
            (["grpo", *CPU, "--length_form", "cubic"], "form must be 'bounded', 'paper' or 'relative', got 'cubic'"),
            (["grpo", *CPU, "--length_c", "-5"], "positive and finite, got -5.0"),
            (["grpo", *CPU, "--exploration", "joy"], "exploration is 'none' or a comma-separated list of length"),
            (["grpo", *CPU, "--scale_rewards", "group"], "scale_rewards='group' makes the exploration bonus the whole"),
            (["grpo", *CPU, "--dataset", "nowhere"], "SourceError: unknown source 'nowhere'"),
            (["grpo", *CPU, "--dataset", COUNTDOWN, "--exclude", COUNTDOWN, "--dataset_seed", "0"], "is excluded"),
            (["grpo", *CPU, "--no_such_field", "1"], "--no_such_field"),
            (
                ["grpo", *CPU, "--num_generation", "8"],
                "unknown argument '--num_generation' (did you mean 'num_generations'?)",
            ),
            (["grpo", *CPU, "--alpha", "much"], "argument --alpha: invalid float value: 'much'"),
            (["evla"], "unknown command 'evla' (did you mean 'eval'?)"),
            (["eval", "--model_name_or_path", "m", "--dataset", "no.csv"], "there is none at 'no.csv'"),
            (["eval", "--model_name_or_path", "m", "--temperature", "-1"], "temperature must be 0 or more"),
            (["eval", "--model_name_or_path", "m", "--num_samples", "0"], "n must be at least 1, got 0"),
            (["check", "--dataset", "reasoning_gym:chess"], "reasoning-gym has no task 'chess'"),
            (["check", "--dataset", "x", "--dataset_columns", "{"], "dataset_columns is a mapping such as"),
            (["run", "nowhere"], "SourceError: 'nowhere' is neither a folder nor a shipped recipe"),
        ],
    )
    def test_refused(self, capsys, monkeypatch, tmp_path, arguments, message):
        monkeypatch.chdir(tmp_path)
        if arguments[0] in ("sft", "grpo"):
            arguments = [*arguments, "--output_dir", "out", "--model_name_or_path", "no/model"]
        assert main(arguments) == 2
        error = capsys.readouterr().err
        assert message in error
        assert f"rlsp {arguments[0]}: " in error
        assert "Traceback" not in error
        assert not (tmp_path / "out").exists()

    def test_config_without_a_file(self, capsys):
        assert main(["sft", "--config"]) == 2
        assert "rlsp sft: ConfigError: --config needs a YAML file after it" in capsys.readouterr().err

    @pytest.mark.parametrize("command", ["sft", "grpo"])
    def test_no_model(self, capsys, tmp_path, monkeypatch, rows, command):
        monkeypatch.chdir(tmp_path)
        rows.write_text('{"problem": "1 + 1?", "reasoning": "1 + 1 = 2", "answer": "2"}\n')
        given = ["--dataset", str(rows), "--output_dir", "out"]
        assert main([command, *CPU, *given]) == 2
        assert "no model: set `model_name_or_path`" in capsys.readouterr().err
        assert main([command, *CPU, *given, "--model_name_or_path", "no/model"]) == 2
        assert "SourceError: no model at 'no/model'" in capsys.readouterr().err
        (tmp_path / "empty").mkdir()
        assert main([command, *CPU, *given, "--model_name_or_path", "empty"]) == 2
        assert "SourceError: no model at 'empty'" in capsys.readouterr().err

    def test_eval_without_a_model(self, capsys, rows):
        assert main(["eval", "--dataset", str(rows), "--model_name_or_path", "no/model"]) == 2
        assert "SourceError: no model at 'no/model'" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("- a\n- b\n", "must hold a YAML mapping of `field: value` lines, got list"),
            ("", "must hold a YAML mapping of `field: value` lines, got NoneType"),
            ("a: [", "is not valid YAML"),
            ("env:\ndataset: x\n", "must be a mapping of names to values, got None"),
            ("env: [A]\n", "must be a mapping of names to values, got ['A']"),
            ("datset: x\n", "unknown field 'datset' in"),
            ("datset: x\n", " (did you mean 'dataset'?)"),
            ("dataset_limit: many\n", "dataset_limit in"),
            ("dataset_limit: many\n", "is a whole number, got 'many'"),
            ("dataset_limit: 1.5\n", "is a whole number, got 1.5"),
        ],
    )
    def test_a_broken_yaml_file(self, capsys, tmp_path, content, message):
        (tmp_path / "stage.yaml").write_text(content)
        assert main(["check", "--config", str(tmp_path / "stage.yaml")]) == 2
        assert message in capsys.readouterr().err

    @pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
    def test_a_file_that_must_not_be_read(self, capsys, tmp_path):
        (tmp_path / "stage.yaml").write_text("dataset: x")
        (tmp_path / "stage.yaml").chmod(0)
        assert main(["check", "--config", str(tmp_path / "stage.yaml")]) == 2
        assert "cannot read the configuration" in capsys.readouterr().err

    def test_a_data_file_that_must_not_be_read(self, capsys, monkeypatch, rows):
        def refuse(*args, **kwargs):
            raise PermissionError(13, "Permission denied", str(rows))

        monkeypatch.setattr("trl_rlsp.stages.arguments.ProblemArguments.required", refuse)
        assert main(["check", "--dataset", str(rows)]) == 2
        assert f"rlsp check: {str(rows)!r} must be readable: Permission denied" in capsys.readouterr().err

    def test_the_nearest_option_of_a_command_that_takes_the_fields_of_others_too(self, capsys, tmp_path):
        (tmp_path / "grpo.yaml").write_text("alpha: 0.8\n")
        assert main(["doctor", "--config", str(tmp_path / "grpo.yaml"), "--elsewere"]) == 2
        assert "unknown argument '--elsewere' (did you mean 'elsewhere'?)" in capsys.readouterr().err
        assert main(["doctor", "--config", str(tmp_path / "grpo.yaml"), "--alpah", "1"]) == 2
        assert "unknown argument '--alpah' (did you mean 'alpha'?)" in capsys.readouterr().err
        assert main(["harvest", "run", "--novely", "0.1"]) == 2
        assert "unknown argument '--novely' (did you mean 'novelty'?)" in capsys.readouterr().err

    def test_run_names_the_override_it_cannot_read(self, capsys, tmp_path):
        for name in ("grpo.yaml", "eval.yaml"):
            (tmp_path / name).write_text("model_name_or_path: x\n")
        for wrong in (["--learning_rate", "1"], ["extra"]):
            assert main(["run", str(tmp_path), *wrong]) == 2
            assert f"unknown argument {wrong[0]!r}" in capsys.readouterr().err
        assert main(["run", str(tmp_path), "--rl.alpha", "1"]) == 2
        assert "cannot read '--rl.alpha': an override is --STAGE.FIELD VALUE" in capsys.readouterr().err


class TestEnvironment:
    def test_set_unless_set_already(self, tmp_path, monkeypatch):
        monkeypatch.setenv("RLSP_TEST_ONE", "mine")
        monkeypatch.delenv("RLSP_TEST_TWO", raising=False)
        (tmp_path / "stage.yaml").write_text("env: {RLSP_TEST_ONE: file, RLSP_TEST_TWO: 2}\ndataset: none.jsonl\n")
        # through the whole command: TRL's parser would overwrite the first
        assert main(["check", "--config", str(tmp_path / "stage.yaml")]) == 2
        assert (os.environ["RLSP_TEST_ONE"], os.environ["RLSP_TEST_TWO"]) == ("mine", "2")
        monkeypatch.delenv("RLSP_TEST_TWO")

    def test_without_a_file(self):
        before = dict(os.environ)
        apply_environment(["--alpha", "1"])
        assert dict(os.environ) == before

    def test_environment_of(self, tmp_path):
        (tmp_path / "stage.yaml").write_text("env: {A: 1, B: 'x'}\n")
        assert environment_of(tmp_path / "stage.yaml") == {"A": "1", "B": "x"}
        (tmp_path / "stage.yaml").write_text("a: 1\n")
        assert environment_of(tmp_path / "stage.yaml") == {}

    @pytest.mark.slow
    @pytest.mark.skipif(os.cpu_count() == 1, reason="one thread is all there is")
    def test_threads_are_set_before_torch_counts_them(self, tmp_path):
        """The reason for reading the file twice."""
        (tmp_path / "stage.yaml").write_text("env: {OMP_NUM_THREADS: 1}\ndataset: none.jsonl\n")
        code = (
            "import sys; from trl_rlsp.cli import main; "
            f"main(['grpo', '--config', {str(tmp_path / 'stage.yaml')!r}, '--bf16', 'False', '--use_cpu']); "
            "import torch; print(torch.get_num_threads())"
        )
        environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=120
        )
        assert done.stdout.splitlines()[-1] == "1"


def test_as_a_module(run_rlsp, tmp_path):
    done = run_rlsp("check", "--dataset", "no.jsonl", cwd=tmp_path)
    assert done.returncode == 2
    assert "rlsp check: SourceError: a data file must exist: there is none at 'no.jsonl'" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_noise_of_other_libraries_is_left_out():
    code = (
        "from trl_rlsp.cli import _quiet_libraries; _quiet_libraries(); import logging\n"
        "logger = logging.getLogger('bitsandbytes.backends.cpu.ops')\n"
        "logger.warning('Failed to load CPU gemm_4bit_forward from kernels-community: %s', 'x')\n"
        "logger.warning('something else')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "something else" in done.stderr
    assert "kernels-community" not in done.stderr
