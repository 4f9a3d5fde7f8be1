"""RL with an outcome verifier and exploration rewards: TRL's `GRPOTrainer` with defaults that keep the balance.

GRPO's usual division by the group's standard deviation would undo the weights of the RLSP reward: in a group whose
verdicts are all equal, the exploration term would become the whole signal at unit size, whatever alpha is
(Dr. GRPO, 2503.20783, section 3.1). The defaults here do not rescale rewards. Settings that break the balance cause a
warning or an error that gives the reason (see `trl_rlsp.rewards.balance`).
"""

from __future__ import annotations

import copy
import inspect
import logging
from dataclasses import dataclass, field, fields
from typing import Any

from trl import GRPOConfig, GRPOTrainer

from trl_rlsp.rewards import OutcomeVerifier, RLSPRewards, refuse_imbalance, scorers_of
from trl_rlsp.trainers._adapter import keep_full_precision, trainable_weights, warn_if_untested
from trl_rlsp.trainers._frontier import FrontierStarts
from trl_rlsp.trainers._resets import Resets
from trl_rlsp.trainers._visits import Visits
from trl_rlsp.trainers._vllm_adapter import base_kept

logger = logging.getLogger(__name__)


@dataclass
class RLSPGRPOConfig(GRPOConfig):
    """`GRPOConfig` with defaults that keep the ratio alpha : 1 - alpha.

    Advantages are not divided by a standard deviation (TRL: by the group's), and Dr. GRPO's loss does not favor long
    wrong completions. Completions have up to 4,096 tokens as in the paper (TRL: 512), and all are written as Parquet,
    with their rewards, for the report. `rollout`, `trim_updates` and `skip_zero_advantage` turn off the parts of the
    fast step, and `part_tokens` bounds the tokens that an update computes together, padding included, instead of 16
    rows. `positive_weight` scales positive advantages (docs/rewards.md). A share `frontier_share` of the groups starts
    where the policy gave up after up to `frontier_depth` continuations with `frontier_joint`, or, with
    `frontier_solutions`, from a part of a right solution (docs/frontier.md). With `visit_by_solve_rate`, problems where
    one more group teaches most get more groups; after every `reset_steps` updates, the reference becomes the policy and
    the optimizer's state is cleared (docs/visits.md). With vLLM, `vllm_adapter` sends only the LoRA adapter instead of
    merging it into the base (docs/vllm.md).
    """

    scale_rewards: str = field(default="none", metadata={"help": "'none', 'batch' or 'group'."})
    loss_type: str = field(default="dr_grpo", metadata={"help": "Loss normalization, as in GRPOConfig."})
    max_completion_length: int | None = field(default=4096, metadata={"help": "Longest completion in tokens."})
    log_completions: bool = field(default=True, metadata={"help": "Write completions as Parquet at each log."})
    num_completions_to_print: int | None = field(default=0, metadata={"help": "Printed at each log; None prints all."})
    rollout: str = field(default="fast", metadata={"help": "'fast' (finished completions leave the batch) or 'trl'."})
    trim_updates: bool = field(default=True, metadata={"help": "Compute log-probabilities without most padding."})
    skip_zero_advantage: bool = field(default=True, metadata={"help": "Skip rows without an advantage."})
    part_tokens: int | None = field(default=None, metadata={"help": "Tokens computed together; default 16 rows."})
    positive_weight: float = field(
        default=1.0, metadata={"help": "Factor of positive advantages; 0.1 leans on failures."}
    )
    frontier_share: float = field(default=0.0, metadata={"help": "Share of groups that start from a prefix."})
    frontier_depth: int = field(default=6, metadata={"help": "Most times that a draft is continued."})
    frontier_joint: str = field(default="\nWait,", metadata={"help": "Text that replaces a draft's answer."})
    frontier_solutions: str | None = field(default=None, metadata={"help": "Column or file of solutions to show."})
    visit_by_solve_rate: bool = field(default=False, metadata={"help": "Draw problems by their solve rates so far."})
    visit_half_life: float = field(default=20.0, metadata={"help": "Generations after which a verdict counts half."})
    reset_steps: int | None = field(default=None, metadata={"help": "Updates between resets of reference, optimizer."})
    vllm_adapter: bool = field(default=True, metadata={"help": "Send a LoRA adapter to vLLM without merging it."})


class RLSPGRPOTrainer(Visits, Resets, FrontierStarts, GRPOTrainer):
    """`GRPOTrainer` with its own defaults for rewards and arguments.

    Args:
        reward_funcs: default: `RLSPRewards()`, unless an environment defines `get_reward`.
        args: default: `RLSPGRPOConfig`. With a suite that has exploration rewards, fields of a plain `GRPOConfig` left
            at TRL's defaults take those of `RLSPGRPOConfig`, which is logged.

    Raises:
        ConfigError: settings under which the exploration bonus replaces the outcome as the goal.
    """

    _tag_names = ["trl", "grpo", "rlsp"]
    _name = "RLSP"
    _paper = {
        "title": "On the Emergence of Thinking in LLMs I: Searching for the Right Intuition",
        "id": "2502.06773",
        "citation": (
            "@article{ye2025emergence,\n    title  = {{On the Emergence of Thinking in LLMs I: Searching for the Right "
            "Intuition}},\n    author = {Guanghao Ye and Khiem Duc Pham and Xinzhi Zhang and Sivakanth Gopi and "
            "Baolin Peng and Beibin Li and Janardhan Kulkarni and Huseyin A. Inan},\n"
            "    year   = 2025,\n    eprint = {arXiv:2502.06773},\n}"
        ),
    }

    def __init__(
        self,
        model: Any,
        reward_funcs: Any = None,
        args: Any = None,
        train_dataset: Any = None,
        *others: Any,
        **kwargs: Any,
    ) -> None:
        if reward_funcs is None and not _has_own_reward(kwargs.get("environment_factory")):
            reward_funcs = RLSPRewards()
        if args is None:
            name = model if isinstance(model, str) else model.config._name_or_path
            args = RLSPGRPOConfig(f"{name.split('/')[-1] or 'model'}-RLSP")
        args = _prepared(reward_funcs, args, getattr(train_dataset, "column_names", None) or [])
        warn_if_untested()
        before = trainable_weights(model)
        with base_kept(getattr(args, "vllm_adapter", True)):
            super().__init__(model, reward_funcs, args, train_dataset, *others, **kwargs)
        if not self.is_fsdp_enabled:  # FSDP shards weights of one type only
            keep_full_precision(self.model, before)
        self._prepare_visits()
        self._prepare_resets()
        self._prepare_frontier()
        self._make_fast()

    __init__.__signature__ = inspect.signature(GRPOTrainer.__init__)  # type: ignore[attr-defined]

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Also load the trained adapter: Transformers 5.0 to 5.22 load only the frozen reference in its subfolder."""
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        model = self.model if model is None else model
        if "ref" in getattr(model, "peft_config", ()) and not self.is_fsdp_enabled:
            model.load_adapter(resume_from_checkpoint, "default", is_trainable=True)


def _has_own_reward(environment_factory: Any) -> bool:
    """Whether an environment scores itself; a factory that is not a class is assumed to, without calling it."""
    factories = environment_factory.values() if isinstance(environment_factory, dict) else [environment_factory]
    return any(
        factory is not None and (not isinstance(factory, type) or hasattr(factory, "get_reward"))
        for factory in factories
    )


def _prepared(reward_funcs: Any, args: GRPOConfig, columns: Any) -> GRPOConfig:
    """The arguments to train with, after the balance check; verifier workers start while the model loads."""
    scorers = scorers_of(reward_funcs)
    if any(scorer.exploration for scorer in scorers) and type(args) is GRPOConfig:
        args = _with_own_defaults(args)
    for finding in refuse_imbalance(reward_funcs, args):
        logger.warning(finding.message)
    for scorer in scorers:
        scorer.checked = True
        if isinstance(scorer.verifier, OutcomeVerifier):
            scorer.verifier.start(["gym"] if "task" in columns else ["math"])
    return args


def _with_own_defaults(args: GRPOConfig) -> GRPOConfig:
    """A copy of TRL's arguments in which fields at TRL's default take RLSP's default."""
    theirs = {field.name: field.default for field in fields(GRPOConfig)}
    own = {field.name: field.default for field in fields(RLSPGRPOConfig) if field.name in theirs}
    changed = {name: own[name] for name in own if own[name] != theirs[name] == getattr(args, name)}
    if changed:
        shown = ", ".join(f"{name}={value!r}" for name, value in changed.items())
        logger.warning("fields of GRPOConfig at TRL's defaults are set to RLSP's: %s; RLSPGRPOConfig has them", shown)
    args = copy.copy(args)
    vars(args).update(changed)
    return args
