"""Prefixes with the real vLLM: it draws drafts, and completions from the same token ids as the trainer scores."""

from __future__ import annotations

import pytest
from datasets import Dataset
from peft import LoraConfig
from test_adapter_rollouts import server  # noqa: F401
from transformers import AutoModelForCausalLM, AutoTokenizer

from trl_rlsp import RLSPGRPOConfig, RLSPGRPOTrainer, RLSPRewards

pytestmark = pytest.mark.slow
STEPS = 3
PROMPTS = ["8 1 9 : 72", "1 2 3 : 6"]
SOLVED = ["8 + 9 = 17 | 8 * 9 = 72 \\boxed{ 72 }", "1 + 2 = 3 | 3 + 3 = 6 \\boxed{ 6 }"]


def train(folder, output, **settings):
    """The prompts of every group, and the trainer after some updates."""
    groups = []

    def verdicts(*, prompts, completions, **_):
        if len(prompts) == 8:
            groups.extend(prompts[start : start + 4] for start in (0, 4))
        return [float(text in SOLVED or len(text) % 7 == 0) for text in completions]

    args = RLSPGRPOConfig(
        str(output), use_vllm=True, vllm_max_model_length=128, bf16=False, use_cpu=True, max_steps=STEPS,
        per_device_train_batch_size=8, num_generations=4, max_completion_length=16, learning_rate=1e-3,
        frontier_share=0.9, frontier_depth=2, frontier_joint=" | ",
        gradient_checkpointing=False, logging_steps=1, save_strategy="no", report_to="none", log_completions=False,
        **settings,
    )  # fmt: skip
    trainer = RLSPGRPOTrainer(
        AutoModelForCausalLM.from_pretrained(folder, dtype="float32"),
        RLSPRewards(verdicts, []),
        args,
        Dataset.from_dict({"prompt": PROMPTS * 8, "solved": SOLVED * 8}),
        processing_class=AutoTokenizer.from_pretrained(folder, padding_side="left"),
        peft_config=LoraConfig(r=8, target_modules="all-linear", task_type="CAUSAL_LM"),
    )
    if "frontier_solutions" not in settings:  # random weights never state an answer: the second half of a draft is it
        trainer._judged = lambda texts, rows: [("7", " ".join(half(text.split())), 0.0) for text in texts]
    trainer.train()
    return groups, [entry for entry in trainer.state.log_history if "reward" in entry]


def half(words):
    return words[: len(words) // 2]


def check(groups, logged, drafts):
    assert len(groups) == 2 * STEPS
    assert all(len(set(prompts)) == 1 for prompts in groups)
    shown = [prompts[0] for prompts in groups if prompts[0] not in PROMPTS]
    assert shown
    assert all(text.endswith("| ") for text in shown)
    assert max(entry["sampling/sampling_logp_difference/max"] for entry in logged) < 1e-5
    assert (sum(entry["frontier/draft_tokens"] for entry in logged) > 0) is drafts


@pytest.mark.parametrize("settings", [{}, {"frontier_solutions": "solved"}], ids=["drafts", "solutions"])
def test_colocated(model_folder, tmp_path, eager, settings):
    check(*train(model_folder, tmp_path, vllm_mode="colocate", **settings), drafts=not settings)


def test_from_a_server(model_folder, tmp_path, server):  # noqa: F811
    address = f"http://127.0.0.1:{server}"
    check(*train(model_folder, tmp_path, vllm_mode="server", vllm_server_base_url=address), drafts=True)
