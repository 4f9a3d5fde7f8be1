"""GRPO whose groups are split over two ranks and start from a prefix; each rank writes the prompts it scored.

accelerate launch --config_file recipes/accelerate/cpu.yaml tests/multi_process/frontier_ranks.py FOLDER MODEL [VARIANT]
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer

from trl_rlsp import RLSPGRPOConfig, RLSPGRPOTrainer, RLSPRewards
from trl_rlsp.rewards.batch import gather_ranks

BATCH, STEPS = 4, 6  # completions of a rank and step
PROMPTS = [f"<user> {problem} <assistant>" for problem in ("8 1 9 : 72", "1 2 : 3")]
SOLVED = ["8 + 9 = 17 | 9 * 8 = 72 \\boxed{ 72 }", "2 - 1 = 1 | 1 + 2 = 3 \\boxed{ 3 }"]
calls = []


def verdicts(*, prompts, completions, **_):
    """Wrong for all but the solutions; keeps the prompts."""
    calls.append(list(prompts))
    return [float(completion in SOLVED) for completion in completions]


class OneEngine(RLSPGRPOTrainer):
    """Samples as if all ranks had one engine: in calls that all of them make, for equally many prompts."""

    def _shares_engine(self):
        return True

    def _generate_single_turn(self, prompt_ids, *others, **kwargs):
        counts = gather_ranks([len(prompt_ids)])[1]
        assert counts[0] == counts[1], counts
        return super()._generate_single_turn(prompt_ids, *others, **kwargs)


def main(folder: Path, model: str, variant: str = "") -> None:
    args = RLSPGRPOConfig(
        str(folder / "run"),
        per_device_train_batch_size=BATCH,
        num_generations=2 * BATCH,  # one group a generation: half of it on each rank
        max_completion_length=16,
        max_steps=STEPS,
        frontier_share=0.9,
        frontier_depth=2,
        frontier_joint=" | ",
        frontier_solutions=variant if variant == "solved" else None,
        bf16=False,
        use_cpu=True,
        report_to="none",
        gradient_checkpointing=False,
        logging_steps=1,
        save_strategy="no",
    )
    trainer = (OneEngine if variant == "one_engine" else RLSPGRPOTrainer)(
        AutoModelForCausalLM.from_pretrained(model, dtype="float32"),
        RLSPRewards(verdicts, []),
        args,
        Dataset.from_dict({"prompt": PROMPTS * 8, "solved": SOLVED * 8}),
        processing_class=AutoTokenizer.from_pretrained(model, padding_side="left"),
    )
    trainer.train()
    logged = [entry["frontier/groups"] for entry in trainer.state.log_history if "frontier/groups" in entry]
    kept = {"calls": calls, "groups": logged, "memory": trainer.state.stateful_callbacks.get("FrontierStarts")}
    (folder / f"rank{os.environ['RANK']}.json").write_text(json.dumps(kept))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
