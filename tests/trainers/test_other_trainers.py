"""The suite, as one writes it for GRPO, in the other trainers of TRL that take `reward_funcs`."""

from __future__ import annotations

import importlib

import pytest
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer

from trl_rlsp import RLSPRewards

TRAINERS = {
    "RLOO": ("trl", "reward"),
    "GMPO": ("trl.experimental.gmpo", "reward"),
    "A2PO": ("trl.experimental.a2po", "reward"),
    "SDPO": ("trl.experimental.sdpo", "self_distillation/reward_mean"),
    "OnlineDPO": ("trl.experimental.online_dpo", "objective/scores"),
}
"""Name -> module, what it calls the mean reward in its log."""
VERDICTS = {
    "RLOO": "rewards/outcome_verifier/mean",
    "GMPO": "rewards/outcome_verifier/mean",
    "SDPO": "self_distillation/rewards/outcome_verifier",
}
"""Name -> the suite's first column in the log; A2PO and OnlineDPO log the sum of the columns alone."""


@pytest.fixture
def two_steps(taught, taught_folder, tmp_path):
    """`two_steps(name, suite)`: what the trainer logs in two steps on problems of which a third is solved."""

    def run(name, suite):
        home = importlib.import_module(TRAINERS[name][0])
        kind = getattr(home, f"{name}Config")
        settings = {
            "max_steps": 2,
            "per_device_train_batch_size": 32,
            "num_generations": 16,
            "max_completion_length": 12,
            "max_new_tokens": 12,
            "scale_rewards": "none",
            "learning_rate": 1e-3,
            "bf16": False,
            "use_cpu": True,
            "report_to": [],
            "save_strategy": "no",
            "logging_steps": 1,
        }
        known = {field: value for field, value in settings.items() if field in kind.__dataclass_fields__}
        rows = [{"prompt": f"<user> {p} <assistant>", "solution": p.split(" : ")[1]} for p in taught]
        trainer = getattr(home, f"{name}Trainer")(
            model=AutoModelForCausalLM.from_pretrained(taught_folder, dtype="float32"),
            reward_funcs=suite,
            args=kind(output_dir=str(tmp_path), **known),
            train_dataset=Dataset.from_list(rows * 32),
            processing_class=AutoTokenizer.from_pretrained(taught_folder, padding_side="left"),
        )
        trainer.train()
        return trainer.state.log_history[:2]

    return run


@pytest.mark.parametrize("name", TRAINERS)
def test_two_steps(name, two_steps):
    """The data set's `solution` reaches the verifier: some completions are right, some are not, none is unscorable."""
    for log in two_steps(name, RLSPRewards()):
        assert 0 < log[TRAINERS[name][1]] < 0.9
        if name in VERDICTS:
            verdicts = log[VERDICTS[name]]
            assert verdicts * 32 == pytest.approx(round(verdicts * 32))  # 32 verdicts of 0 or 1, no `None` among them
            assert verdicts <= log[TRAINERS[name][1]] < verdicts + 0.01  # and a little for the length


def test_a_right_completion_reaches_the_threshold_of_success(two_steps):
    """SDPO learns from completions with a reward of at least 1; the adaptive gate must not take a right one below."""
    first, _ = two_steps("SDPO", RLSPRewards(gate="adaptive"))
    assert first["self_distillation/success_group_fraction"] == 1.0
