"""RL with an outcome verifier and exploration rewards: TRL's `GRPOTrainer` with defaults that keep the balance.

GRPO's usual division by the group's standard deviation would undo the weights of the RLSP reward: in a group whose
verdicts are all equal, the exploration term would become the whole signal at unit size, whatever alpha says
(Dr. GRPO, 2503.20783, section 3.1). The defaults here leave rewards as they are; settings that lose the balance are
warned about or refused, with the reason (see `trl_rlsp.trainers.balance`).
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from typing import Any

from trl import GRPOConfig, GRPOTrainer

from trl_rlsp.rewards.suite import RLSPRewards
from trl_rlsp.trainers.adapter import keep_full_precision, trainable_weights
from trl_rlsp.trainers.balance import check_balance
from trl_rlsp.trainers.fast_step import FastStep


@dataclass
class RLSPGRPOConfig(GRPOConfig):
    """`GRPOConfig` with defaults that keep alpha : 1 - alpha as written.

    Args:
        scale_rewards: advantages are not divided by a standard deviation (TRL: by the group's).
        loss_type: Dr. GRPO's, which does not favour long wrong completions.
        max_completion_length: 4096 tokens as in the paper (TRL: 256).
        log_completions: every completion is written as Parquet, with its rewards, for the report.
        rollout: "fast" drops completions that have ended from the batch, "trl" is TRL's own (without vLLM).
        trim_updates: log-probabilities are computed in parts of like length, without most of the padding.
        skip_zero_advantage: rows whose advantage is 0 are left out of the update where they have no gradient.
    """

    scale_rewards: str = field(default="none", metadata={"help": "'none', 'batch' or 'group'."})
    loss_type: str = field(default="dr_grpo", metadata={"help": "Loss normalisation, as in GRPOConfig."})
    max_completion_length: int | None = field(default=4096, metadata={"help": "Longest completion in tokens."})
    log_completions: bool = field(default=True, metadata={"help": "Write completions as Parquet at each log."})
    num_completions_to_print: int | None = field(
        default=0, metadata={"help": "Completions printed at each log; None prints all."}
    )
    rollout: str = field(default="fast", metadata={"help": "Rollouts without vLLM: 'fast' or 'trl'."})
    trim_updates: bool = field(default=True, metadata={"help": "Compute log-probabilities without most padding."})
    skip_zero_advantage: bool = field(default=True, metadata={"help": "Leave rows without advantage out."})


class RLSPGRPOTrainer(FastStep, GRPOTrainer):
    """`GRPOTrainer` whose default rewards are RLSP's.

    Args:
        model: as for `GRPOTrainer`.
        reward_funcs: as for `GRPOTrainer`; default `RLSPRewards()`.
        args: a `GRPOConfig`; default `RLSPGRPOConfig`.
        train_dataset: as for `GRPOTrainer`.
        kwargs: as for `GRPOTrainer`.

    Raises:
        ConfigError: settings under which the exploration bonus replaces the outcome as the goal.
    """

    _tag_names = ["trl", "grpo", "rlsp"]
    _name = "RLSP"
    _paper = {
        "title": "On the Emergence of Thinking in LLMs I: Searching for the Right Intuition",
        "id": "2502.06773",
        # docstyle-ignore
        "citation": textwrap.dedent("""\
            @article{ye2025emergence,
                title        = {{On the Emergence of Thinking in LLMs I: Searching for the Right Intuition}},
                author       = {Guanghao Ye and Khiem Duc Pham and Xinzhi Zhang and Sivakanth Gopi and Baolin Peng and Beibin Li and Janardhan Kulkarni and Huseyin A. Inan},
                year         = 2025,
                eprint       = {arXiv:2502.06773},
            }"""),  # noqa: E501
    }

    def __init__(
        self,
        model: Any,
        reward_funcs: Any = None,
        args: GRPOConfig | None = None,
        train_dataset: Any = None,
        **kwargs: Any,
    ) -> None:
        rewards = RLSPRewards() if reward_funcs is None else reward_funcs
        if args is None:
            name = model if isinstance(model, str) else model.config._name_or_path
            args = RLSPGRPOConfig(f"{name.split('/')[-1] or 'model'}-RLSP")
        columns = getattr(train_dataset, "column_names", None) or []
        for suite in suites_of(rewards):
            check_balance(suite, args)
            suite.start(["gym"] if "task" in columns else ["math"])  # hidden behind the loading of the model
        before = trainable_weights(model)
        super().__init__(model=model, reward_funcs=rewards, args=args, train_dataset=train_dataset, **kwargs)
        if not self.is_fsdp_enabled:  # which shards weights of one type only
            keep_full_precision(self.model, before)
        self._make_fast()


def suites_of(reward_funcs: Any) -> list[RLSPRewards]:
    """The RLSP suites in what a trainer is given: itself, or those in a list."""
    if isinstance(reward_funcs, RLSPRewards):
        return [reward_funcs]
    return [part for part in reward_funcs if isinstance(part, RLSPRewards)] if isinstance(reward_funcs, list) else []
