"""GRPO that draws problems by their solve rates, groups of four split over two ranks: a run, and one that resumes it.

accelerate launch --config_file recipes/accelerate/cpu.yaml tests/multi_process/visits_ranks.py FOLDER MODEL
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from trl_rlsp import RLSPRewards

sys.path.append(str(Path(__file__).parents[1]))
SETTINGS = {
    "per_device_train_batch_size": 6,  # three groups of four: the second is split over the ranks
    "max_completion_length": 8,
    "max_steps": 6,
    "visit_by_solve_rate": True,
    "visit_half_life": 2.0,
    "save_strategy": "steps",
    "save_steps": 3,
}


def verdicts(*, prompts, completions, **_):
    """Right on one rank more often than on the other."""
    rank = int(os.environ["RANK"])
    return [
        float("8" in prompt and len(text) % (2 + rank) == 0) for prompt, text in zip(prompts, completions, strict=True)
    ]


def main(folder: Path, model: str) -> None:
    from tiny_grpo import tiny_grpo

    found = []
    prompts = [f"<user> {problem} : 72 <assistant>" for problem in ("8 1 9", "1 2", "3 4", "5 8")]
    for name, checkpoint in (("whole", None), ("resumed", str(folder / "whole" / "checkpoint-3"))):
        trainer = tiny_grpo(folder / name, model, RLSPRewards(verdicts, []), {"prompt": prompts}, **SETTINGS)
        seen, score = [], trainer._calculate_rewards

        def kept(inputs, *others, score=score, seen=seen):
            seen.append([row["prompt"] for row in inputs])
            return score(inputs, *others)

        trainer._calculate_rewards = kept
        trainer.train(resume_from_checkpoint=checkpoint)
        found.append({"seen": seen, "rates": trainer._rates.state()})
    (folder / f"rank{os.environ['RANK']}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
