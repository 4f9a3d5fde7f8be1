"""Checks that need data, tokenizer or the model's configuration; and the command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trl_rlsp.cli import main
from trl_rlsp.countdown import CHAT_TEMPLATE

DROPPING = CHAT_TEMPLATE.replace("message['content'] }} <eos>", "message['content'].split('</think>')[-1] }} <eos>")


def brief(found):
    return [(finding.severity, finding.change) for finding in found]


class TestPrompts:
    @pytest.mark.parametrize(
        ("processes", "changes", "line"),
        [
            # 4 rows x 4 = 16 completions at most; 4 a step: 4 steps
            (1, {"gradient_accumulation_steps": 8}, "gradient_accumulation_steps: 4"),
            (1, {"steps_per_generation": 5}, "steps_per_generation: 4"),
            (2, {"generation_batch_size": 32}, "generation_batch_size: 16"),
        ],
    )
    def test_fewer_than_one_generation_takes(self, findings, processes, changes, line):
        found = findings("grpo", processes=processes, checks=["prompts"], **changes)
        assert brief(found) == [("error", line)]
        name, value = line.split(": ")
        assert findings("grpo", processes=processes, checks=["prompts"], **changes | {name: int(value)}) == []

    def test_no_line_helps(self, findings):
        # 40 ranks of 4 and 16 completions
        (found,) = findings("grpo", processes=40, checks=["prompts"])
        assert found.change == "use more problems or a smaller per_device_train_batch_size"

    def test_that_is_what_trl_does(self):
        from trl.trainer.utils import RepeatSampler

        assert list(RepeatSampler(["a", "b", "c"], mini_repeat_count=2, batch_size=4)) == []


class TestContext:
    """The tiny model has 512 positions; the longest prompt is `<system> ... <user> 3 1 : 4 <assistant>`."""

    def test_a_completion_as_long_as_the_context(self, findings):
        assert brief(findings("grpo", checks=["context"], max_completion_length=512)) == [
            ("error", "max_completion_length: 256")
        ]

    def test_a_prompt_that_leaves_too_little(self, findings):
        # <user> 3 1 : 4 <assistant>: 6 tokens; 506 is the most
        kept = {"system_prompt": "none", "checks": ["context"]}
        assert findings("grpo", max_completion_length=506, **kept) == []
        (found,) = findings("grpo", max_completion_length=507, **kept)
        assert (found.severity, found.change) == ("warning", "max_completion_length: 506")
        assert "the longest prompt of 6 tokens" in found.what

    def test_traces(self, findings):
        assert brief(findings("sft", checks=["context"], max_length=600)) == [("warning", "max_length: 512")]
        assert findings("sft", checks=["context"], max_length=512) == []

    def test_bundled_dimensions_need_no_network(self, findings):
        found = findings("sft", checks=["context"], model_name_or_path="Qwen/Qwen2.5-32B-Instruct", max_length=40_000)
        assert brief(found) == [("warning", "max_length: 32768")]

    def test_a_model_that_cannot_be_reached(self, findings):
        (found,) = findings("sft", checks=["context"], model_name_or_path="no/model")
        assert found.severity == "not checked"
        assert "the model's configuration (no/model) cannot be read here" in found.why


class TestTokenizer:
    @pytest.mark.parametrize("kind", ["sft", "grpo"])
    def test_no_pad_token(self, findings, changed_tokenizer, kind):
        folder = changed_tokenizer(pad_token=None)
        (found,) = findings(kind, checks=["pad_token"], model_name_or_path=folder)
        assert found.severity == "warning"
        assert 'pad_token: "<pad>"' in found.change
        assert "'<eos>'" in found.why

    def test_a_pad_token_of_the_stage(self, findings, changed_tokenizer):
        folder = changed_tokenizer(pad_token=None)
        assert findings("sft", checks=["pad_token"], model_name_or_path=folder, pad_token="<unk>") == []

    def test_neither_pad_nor_end(self, findings, changed_tokenizer):
        folder = changed_tokenizer(pad_token=None, eos_token=None)
        (found,) = findings("grpo", checks=["pad_token"], model_name_or_path=folder)
        assert found.severity == "error"

    def test_a_template_that_drops_think_tags(self, findings, changed_tokenizer):
        folder = changed_tokenizer(chat_template=DROPPING)
        (found,) = findings("grpo", checks=["chat_template"], model_name_or_path=folder)
        assert (found.severity, found.check) == ("warning", "chat_template")

    def test_demonstrations_that_are_written_with_tags_lose_them(self, findings, changed_tokenizer):
        folder = changed_tokenizer(chat_template=DROPPING)
        tags = "<think>\n{reasoning}\n</think>\n\\boxed{{answer}}"
        (found,) = findings("sft", checks=["chat_template"], model_name_or_path=folder, demonstration_template=tags)
        assert (found.severity, found.change) == ("error", "chat_template_path: TEMPLATE.jinja")
        plain = {"demonstration_style": "plain", "demonstration_template": tags}
        assert findings("sft", checks=["chat_template"], model_name_or_path=folder, **plain) == []

    def test_a_template_of_the_stage(self, findings, changed_tokenizer, tmp_path):
        (tmp_path / "keeping.jinja").write_text(CHAT_TEMPLATE)
        folder = changed_tokenizer(chat_template=DROPPING)
        own = {"model_name_or_path": folder, "chat_template_path": str(tmp_path / "keeping.jinja")}
        assert findings("sft", checks=["chat_template"], **own) == []

    def test_no_template(self, findings, changed_tokenizer):
        folder = changed_tokenizer(chat_template=None)
        (found,) = findings("grpo", checks=["chat_template"], model_name_or_path=folder)
        assert (found.severity, found.what) == ("error", "the tokenizer has no chat template")


class TestData:
    @pytest.mark.parametrize(
        ("row", "severity", "line"),
        [
            ({"text": "a"}, "error", "dataset_columns: {problem: COLUMN, answer: COLUMN}"),
            ({"problem": "a"}, "error", "dataset_columns: {problem: COLUMN, answer: COLUMN}"),
        ],
    )
    def test_columns(self, findings, tmp_path, row, severity, line):
        path = tmp_path / "other.jsonl"
        path.write_text(json.dumps(row) + "\n")
        assert brief(findings("grpo", checks=["data"], dataset=str(path))) == [(severity, line)]

    def test_a_file_that_is_not_there(self, findings):
        assert brief(findings("grpo", checks=["data"], dataset="none.jsonl")) == [("error", "dataset: SOURCE")]

    def test_the_hub_out_of_reach(self, findings):
        (found,) = findings("grpo", checks=["data"], dataset="no/such-data")
        assert found.severity == "not checked"

    def test_what_depends_on_the_data_is_not_checked(self, findings):
        found = findings("grpo", dataset="none.jsonl")
        severities = {finding.check: finding.severity for finding in found}
        assert severities["data"] == "error"
        assert severities["prompts"] == "not checked"


class TestCommand:
    def test_healthy(self, write_stage, capsys):
        path = write_stage("grpo")
        assert main(["doctor", "--config", path]) == 0
        assert capsys.readouterr().out == f"{path}: 0 errors, 0 warnings, 0 not checked\n"

    def test_the_line_to_change(self, write_stage, capsys):
        path = write_stage("grpo", num_generations=3)
        assert main(["doctor", "--config", path]) == 1
        shown = capsys.readouterr().out
        assert (
            "error groups: 4 at once on each of 1 ranks are 4 completions per generation, not a multiple of 12" in shown
        )
        assert f"change {path}: add `gradient_accumulation_steps: 3`" in shown
        number = Path(path).read_text().splitlines().index("max_completion_length: 32") + 1
        assert main(["doctor", "--config", path, "--num_generations", "4", "--max_completion_length", "999"]) == 1
        shown = capsys.readouterr().out
        assert f"change {path}:{number}: `max_completion_length: 32` to `max_completion_length: 256`" in shown

    def test_json_and_processes(self, write_stage, capsys):
        path = write_stage("grpo")
        assert main(["doctor", "--config", path, "--processes", "40", "--elsewhere", "--json"]) == 1
        checks = [finding["check"] for finding in json.loads(capsys.readouterr().out)]
        assert checks[0] == "prompts"

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ([], "no stage: give its YAML file with --config FILE"),
            (["--config", "FILE", "--processes", "0"], "at least 1, got 0"),
            (["--config", "FILE", "--no_such_field", "1"], "--no_such_field"),
        ],
    )
    def test_refused(self, write_stage, capsys, arguments, message):
        path = write_stage("grpo")
        assert main(["doctor", *[path if word == "FILE" else word for word in arguments]]) == 2
        assert message in capsys.readouterr().err

    def test_a_file_of_neither_stage(self, tmp_path, capsys):
        (tmp_path / "x.yaml").write_text("seed: 1\n")
        assert main(["doctor", "--config", str(tmp_path / "x.yaml")]) == 2
        assert "give --stage sft or --stage grpo" in capsys.readouterr().err
        (tmp_path / "sft.yaml").write_text("seed: 1\n")
        assert main(["doctor", "--config", str(tmp_path / "sft.yaml")]) == 1


class TestAtTheStart:
    def test_grpo_stops_before_a_model_is_loaded(self, write_stage, capsys, tmp_path):
        # 8 steps of 4 completions are 8 prompts, and there are 4
        path = write_stage("grpo", gradient_accumulation_steps=8)
        assert main(["grpo", "--config", path]) == 2
        said = capsys.readouterr().err
        assert "there are 4 prompts and one generation takes 8" in said
        assert "steps_per_generation: 4" in said
        assert not (tmp_path / "out" / "stage.json").exists()

    def test_warnings_are_logged_once(self, write_stage, caplog, changed_tokenizer):
        path = write_stage("grpo", model_name_or_path=changed_tokenizer(pad_token=None), max_steps=1)
        assert main(["grpo", "--config", path, "--gradient_checkpointing", "false"]) == 0
        said = [r.getMessage() for r in caplog.records if "no pad token" in r.getMessage()]
        assert len(said) == 1
