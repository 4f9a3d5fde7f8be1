"""`make test-trl` on a tree of two tests: which trainers they got, and what it calls a difference."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "test_trl" / "run.py"

GRPO = """
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig, GRPOTrainer

def test_trains():
    rows = load_dataset("trl-internal-testing/made", "plain", split="train[:1]")
    assert rows["prompt"] == ["a b"]
    model = AutoModelForCausalLM.from_pretrained("trl-internal-testing/tiny-Qwen2ForCausalLM-2.5")
    assert model.config.num_hidden_layers == 2
    tokenizer = AutoTokenizer.from_pretrained("trl-internal-testing/tiny-Qwen2ForCausalLM-2.5")
    assert "<|im_start|>user" in tokenizer.apply_chat_template([{"role": "user", "content": "a"}], tokenize=False)

def test_needs_the_hub():
    load_dataset("somebody/else", split="train")

def test_has_a_name():
    assert GRPOTrainer._name == "GRPO"
"""
SFT = """
from trl import SFTTrainer

def test_is_a_trainer():
    assert SFTTrainer.__name__ in ("SFTTrainer", "RLSPSFTTrainer")
"""
MADE = """
from datasets import Dataset

def main(test_size, push_to_hub, repo_id):
    data = Dataset.from_dict({"prompt": ["a b", "c d"]}).train_test_split(test_size=0.5, shuffle=False)
    data.push_to_hub(repo_id, config_name="plain")
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    tree = tmp_path_factory.mktemp("trl")
    for name, text in {
        "tests/__init__.py": "",
        "tests/test_grpo_trainer.py": GRPO,
        "tests/test_sft_trainer.py": SFT,
        "tests/test_rewards.py": "def test_nothing():\n    pass\n",
        "scripts/generate_made_dataset.py": MADE,
    }.items():
        path = tree / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    command = [sys.executable, str(SCRIPT), str(tree)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_alike(done):
    assert "TRL's passed, ours passed: 3" in done.stdout, done.stdout + done.stderr
    assert "TRL's skipped, ours skipped: 1" in done.stdout


def test_a_difference_that_is_not_listed_fails(done):
    different = "DIFFERENT: tests/test_grpo_trainer.py::test_has_a_name: TRL's passed, ours failed"
    assert different in done.stdout, done.stdout
    assert "1 unintended differences" in done.stdout
    assert done.returncode == 1


class TestIntended:
    def test_a_listed_difference_is_shown_with_its_reason(self, capsys, monkeypatch):
        monkeypatch.syspath_prepend(str(SCRIPT.parent))
        from run import show

        theirs, ours = ({"a::b": {"outcome": outcome, "reason": "r"}} for outcome in ("passed", "failed"))
        assert show("title", theirs, ours, [{"test": "a::*", "reason": "meant"}]) == 0
        assert "intended: a::b: TRL's passed, ours failed\n    meant" in capsys.readouterr().out
