"""An arm's specification -> rewards and trainer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import trl_rlsp
from trl_rlsp.errors import ConfigError

if TYPE_CHECKING:
    from datasets import Dataset

    from countdown.budget import TokenBudget
    from countdown.grid import Arm, Grid
    from trl_rlsp.rewards import RLSPRewards


WORKED = "worked"
"""Column with whole right searches, which the domain writes for arms whose `frontier_solutions` names it."""


def build(spec: Any) -> Any:
    """What a value of the configuration stands for: a mapping with `type` is an object of that class.

    Raises:
        ConfigError: no class of that name, or arguments that it refuses.
    """
    if isinstance(spec, list):
        return [build(part) for part in spec]
    if not isinstance(spec, dict) or "type" not in spec:
        return spec
    arguments = {name: build(value) for name, value in spec.items() if name != "type"}
    try:
        return _find(spec["type"])(**arguments)
    except TypeError as error:
        raise ConfigError(f"{spec['type']} does not take {arguments!r}: {error}") from error


def _find(name: str) -> Any:
    from countdown import peers

    found = getattr(trl_rlsp, name, None) or getattr(peers, name, None)
    if found is None:
        raise ConfigError(f"no class {name!r} in trl_rlsp or countdown.peers")
    return found


def build_rewards(arm: Arm) -> RLSPRewards:
    """The arm's rewards.

    Raises:
        ConfigError: as `build`, or arguments that `RLSPRewards` refuses.
    """
    from trl_rlsp import RLSPRewards

    return RLSPRewards(**{name: build(value) for name, value in (arm.rewards or {}).items()})


def build_trainer(
    grid: Grid, arm: Arm, *, start: Path, train: Dataset, seed: int, rate: float, counter: TokenBudget, folder: Path
) -> Any:
    """The arm's trainer, ready to train.

    Args:
        grid: the experiment.
        arm: the arm.
        start: folder of the starting model.
        train: the problems.
        seed: of the order of problems and of sampling.
        rate: learning rate at the first step.
        counter: the run's budget.
        folder: where the trainer may write.
    """
    import trl
    from transformers import AutoModelForCausalLM, AutoTokenizer

    import trl_rlsp
    from countdown.budget import optimizers
    from trl_rlsp.generation import leaving_rollout
    from trl_rlsp.trainers import compute_in_parts

    fixed = {"logging_steps": 1, "save_strategy": "no", "report_to": "none", "log_completions": bool(arm.harvest)}
    settings = {**grid.training, **(arm.training or {}), **fixed}
    config = trl_rlsp.RLSPGRPOConfig(output_dir=str(folder), seed=seed, learning_rate=rate, **settings)
    if settings.get("frontier_solutions") == WORKED:
        train = train.add_column(WORKED, [grid.module().worked(row) for row in train])  # type: ignore[call-arg]
    rewards = build_rewards(arm)
    model = AutoModelForCausalLM.from_pretrained(start, dtype="float32")
    fast = arm.trainer == "RLSPGRPOTrainer"
    trainer = getattr(trl_rlsp if fast else trl, arm.trainer)(
        model=model,
        reward_funcs=rewards,
        args=config,
        train_dataset=train,
        processing_class=AutoTokenizer.from_pretrained(start, padding_side="left"),
        callbacks=[counter],
        optimizers=optimizers(model, rate, counter),
        rollout_func=None if fast else leaving_rollout,
    )
    if not fast:  # TRL's own trainer, as fast as the other
        compute_in_parts(trainer.model)
    return trainer
