"""GRPO whose groups are split over two ranks and start from a prefix; each rank writes the prompts it scored.

accelerate launch --config_file recipes/accelerate/cpu.yaml tests/multi_process/frontier_ranks.py FOLDER MODEL [VARIANT]
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from trl_rlsp import RLSPGRPOTrainer, RLSPRewards
from trl_rlsp.rewards.batch import gather_ranks

sys.path.append(str(Path(__file__).parents[1]))
SETTINGS = {
    "per_device_train_batch_size": 4,
    "num_generations": 8,  # one group a generation: half of it on each rank
    "max_steps": 6,
    "frontier_share": 0.9,
    "frontier_depth": 2,
    "frontier_joint": " | ",
}
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
        counts = gather_ranks([len(prompt_ids)])
        assert counts[0] == counts[1], counts
        return super()._generate_single_turn(prompt_ids, *others, **kwargs)


def main(folder: Path, model: str, variant: str = "") -> None:
    from tiny_grpo import tiny_grpo

    kind = OneEngine if variant == "one_engine" else RLSPGRPOTrainer
    source = variant if variant == "solved" else None
    columns = {"prompt": PROMPTS * 8, "solved": SOLVED * 8}
    rewards, settings = RLSPRewards(verdicts, []), {**SETTINGS, "frontier_solutions": source}
    trainer = tiny_grpo(folder / "run", model, rewards, columns, kind=kind, **settings)
    trainer.train()
    logged = [entry["frontier/groups"] for entry in trainer.state.log_history if "frontier/groups" in entry]
    kept = {"calls": calls, "groups": logged, "memory": trainer.state.stateful_callbacks.get("FrontierStarts")}
    (folder / f"rank{os.environ['RANK']}.json").write_text(json.dumps(kept))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
