"""The suite where TRL calls tools and environments: the last assistant message is read, their output never."""

from __future__ import annotations

from pathlib import Path

import pytest
import transformers
import trl
from datasets import Dataset
from packaging.version import Version
from tiny_grpo import ON_CPU
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from trl_rlsp import LengthExploration, OutcomeVerifier, RLSPGRPOConfig, RLSPGRPOTrainer, RLSPRewards

if Version(transformers.__version__) < Version("5.13"):
    pytest.importorskip("jmespath", reason="TRL parses tool calls with jmespath on transformers below 5.13")

MARKS = ["<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<think>", "</think>"]
CALL = '<tool_call>\n{"name": "multiply", "arguments": {"a": 8, "b": 9}}\n</tool_call><|im_end|>'
ANSWERS = ["The product is \\boxed{72}<|im_end|>", "I do not trust it. \\boxed{71}<|im_end|>", "No idea.<|im_end|>"] * 2


def multiply(a: int, b: int) -> str:
    """
    Multiplies two numbers.

    Args:
        a: The first number.
        b: The second number.

    Returns:
        The product, in a box.
    """
    return f"\\boxed{{{a * b}}}"


class Calculator:
    """An environment whose method is the tool."""

    def reset(self, **row):
        """Start over; nothing is added to the prompt."""

    multiply = staticmethod(multiply)


@pytest.fixture
def tokenizer():
    """One token a byte, and the chat template of Qwen3."""
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    bytewise = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate([*special, *letters])}, merges=[]))
    bytewise.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytewise.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=bytewise, eos_token=special[2], pad_token=special[0])
    fast.add_special_tokens({"additional_special_tokens": [special[1]]})
    fast.add_tokens(MARKS)
    template = Path(trl.__file__).parent / "chat_templates" / "qwen3.jinja"
    fast.chat_template = template.read_text(encoding="utf-8")
    return fast


@pytest.mark.parametrize(
    "given", [{"tools": [multiply]}, {"environment_factory": Calculator}], ids=["tool", "environment"]
)
def test_a_training_step(given, tokenizer, tmp_path, monkeypatch):
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = Qwen3Config(vocab_size=len(tokenizer), num_key_value_heads=2, head_dim=16, **sizes)
    suite = RLSPRewards(OutcomeVerifier(), [LengthExploration(C=6)])
    settings = {"per_device_train_batch_size": 6, "num_generations": 6, "max_completion_length": 400, "max_steps": 1}
    args = RLSPGRPOConfig(str(tmp_path), **ON_CPU, **settings)
    rows = Dataset.from_list([{"prompt": [{"role": "user", "content": "8 * 9 = ?"}], "solution": "72"}] * 6)
    trainer = RLSPGRPOTrainer(Qwen3ForCausalLM(config), suite, args, rows, processing_class=tokenizer, **given)
    seen = []

    def scripted(prompt_ids, *_, **__):
        """A call of the tool, then, after its output, one of the answers."""
        asked = tokenizer.decode(prompt_ids[0])
        seen.append(asked)
        texts = ANSWERS if "<tool_response>" in asked else [CALL] * len(prompt_ids)
        return [tokenizer(text)["input_ids"] for text in texts], None

    monkeypatch.setattr(trainer, "_generate_single_turn", scripted)
    trainer.train()
    suite.close()
    assert len(seen) == 2
    assert "\\boxed{72}" in seen[1]  # the tool's output, in every completion
    log = trainer.state.log_history[0]
    assert log["rewards/outcome_verifier/mean"] == pytest.approx(1 / 3)
    assert log["verifier/match"] == log["verifier/mismatch"] == log["verifier/no_answer"] == pytest.approx(1 / 3)
    assert log["tools/call_frequency"] == 1
    assert log["grad_norm"] > 0
