"""The suite under TRL's other trainers that take `reward_funcs`: two steps each, right and wrong answers told apart."""

from __future__ import annotations

import warnings

import pytest
from datasets import Dataset
from tiny_grpo import ON_CPU
from transformers import AutoModelForCausalLM, AutoTokenizer

from trl_rlsp import LengthExploration, OutcomeVerifier, RLSPRewards

pytestmark = pytest.mark.filterwarnings("ignore")

PROBLEMS = [("8 1 9 : 72", "72"), ("1 2 : 3", "3")]
SETTINGS = {
    "max_steps": 2,
    "per_device_train_batch_size": 16,
    "learning_rate": 1e-4,
    **ON_CPU,
}
TRAINERS = {  # module -> (class, settings, log key of the reward)
    "trl": ("RLOO", {"max_completion_length": 12, "num_generations": 8}, "reward"),
    "trl.experimental.gmpo": (
        "GMPO",
        {"max_completion_length": 12, "num_generations": 8, "scale_rewards": "none"},
        "reward",
    ),
    "trl.experimental.a2po": ("A2PO", {"max_completion_length": 12}, "reward"),
    "trl.experimental.sdpo": (
        "SDPO",
        {"max_completion_length": 12, "num_generations": 8},
        "self_distillation/reward_mean",
    ),
    "trl.experimental.online_dpo": ("OnlineDPO", {"max_new_tokens": 12}, "objective/scores"),
}


class Watched(OutcomeVerifier):
    """Remembers its scores."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __call__(self, *arguments, **columns):
        scores = super().__call__(*arguments, **columns)
        self.seen.extend(scores)
        return scores


@pytest.mark.parametrize("module", TRAINERS)
def test_two_steps(module, taught_folder, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        host = pytest.importorskip(module)
    name, settings, logged = TRAINERS[module]
    if not hasattr(host, f"{name}Trainer"):
        pytest.skip(f"this TRL has no {name}Trainer")
    rows = [
        {"prompt": [{"role": "user", "content": problem}], "solution": solution} for problem, solution in PROBLEMS * 8
    ]
    suite = RLSPRewards(Watched(), [LengthExploration(C=6)])
    trainer = getattr(host, f"{name}Trainer")(
        model=AutoModelForCausalLM.from_pretrained(taught_folder, dtype="float32"),
        reward_funcs=suite,
        args=getattr(host, f"{name}Config")(output_dir=str(tmp_path), **SETTINGS, **settings),
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(taught_folder, padding_side="left"),
    )
    trainer.train()
    suite.close()
    log = next(entry for entry in trainer.state.log_history if logged in entry)
    assert 0 < log[logged] < 1.25  # verdict + at most 0.25 of exploration
    assert {0.0, 1.0} <= set(suite.verifier.seen)  # right and wrong answers, each with its verdict
    assert trainer.state.global_step == 2
