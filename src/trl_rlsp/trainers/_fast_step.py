"""A GRPO step without the padding: where `RLSPGRPOTrainer` differs from TRL, with the same gradients.

Rollouts drop finished completions, the rows of an optimizer step are sorted over its micro-batches, and rows whose
advantage is 0 are skipped where they have no gradient. TRL pads every row of a generation to the longest prompt and the
longest completion, and computes all of it in every update. Here log-probabilities are computed in parts of similar
length, and each part drops the columns that are masked in all of its rows. Unsupported settings use TRL's own step,
with one line in the log.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch.nn.functional import pad
from trl.data_utils import is_conversational

from trl_rlsp.errors import ConfigError
from trl_rlsp.generation import finished_leave, why_not
from trl_rlsp.rewards import OutcomeVerifier, scorers_of
from trl_rlsp.trainers._adapter import types_kept

log = logging.getLogger(__name__)

# losses in which a row without advantage has no gradient and affects no metric
ROW_BY_ROW = ("grpo", "dr_grpo", "dapo", "cispo", "sapo", "luspo")
ROWS = 16  # computed together


class FastStep:
    """Mixin placed before `GRPOTrainer`: overrides private methods of TRL, each of which still calls TRL's own."""

    _buffered_inputs: Any
    _skipped_B: torch.Tensor | None = None
    _stand_in_BT: torch.Tensor | None = None
    _drawn_BT: torch.Tensor | None = None
    _inputs: list[dict[str, Any]] = []  # of the current generation
    _verifier: OutcomeVerifier | None = None
    _early: tuple[Future[Any], ...] = ()  # verdicts on programs while other completions are being decoded

    def _make_fast(self: Any) -> None:
        """Decide once, after TRL's `__init__`, which parts of the fast step are on."""
        own = self.use_vllm or self.use_transformers_continuous_batching or self.rollout_func is not None
        rollout = getattr(self.args, "rollout", "fast")
        if rollout not in ("fast", "trl"):
            raise ConfigError(f"rollout is 'fast' or 'trl', got {rollout!r}")
        self._fast = {
            "rollout": rollout == "fast" and not own,
            "trim_updates": getattr(self.args, "trim_updates", True),
            "skip_zero_advantage": getattr(self.args, "skip_zero_advantage", True),
        }
        whole = self._why_whole()
        reasons = {"rollout": why_not(self), "trim_updates": whole, "skip_zero_advantage": whole}
        for name, reason in reasons.items():
            if self._fast[name] and reason:
                self._fast[name] = False
                self._say(f"{name} is off and TRL's own step is used: {reason}")
        if self._fast["trim_updates"]:
            models = [self.accelerator.unwrap_model(self.model), self.ref_model]
            bare = [
                one.get_base_model() if hasattr(one, "get_base_model") else one for one in models if one is not None
            ]
            made = [compute_in_parts(model, tokens=getattr(self.args, "part_tokens", None)) for model in bare]
            if not all(made):
                self._say("log-probabilities are computed at TRL's width, because rotary angles depend on the width")
        self._sorts = self._fast["trim_updates"] and self._exact_in_any_order()
        self._fast["skip_zero_advantage"] &= self.beta == 0 and self._exact_in_any_order()
        asked = self.args.gradient_accumulation_steps % (self.args.steps_per_generation * self.num_iterations) != 0
        self._keeps_drawn = asked and not self.tools and self.accelerator.mixed_precision == "no"
        if self._positive_weight < 0:
            raise ConfigError(f"positive_weight is a factor of at least 0, got {self._positive_weight!r}")
        own = [scorer.verifier for scorer in scorers_of(self.reward_funcs)]
        self._verifier = next((each for each in own if isinstance(each, OutcomeVerifier)), None)

    @property
    def _is_sharded(self: Any) -> bool:
        return self.is_fsdp_enabled or self.is_deepspeed_enabled

    def _say(self: Any, message: str) -> None:
        if self.accelerator.is_main_process:
            log.warning(message)

    def _why_whole(self: Any) -> str | None:
        reasons = {
            "weights are sharded (FSDP, DeepSpeed)": self._is_sharded,
            "the model reads images": getattr(self, "_is_vlm", False),
            "the auxiliary loss of a mixture of experts depends on the whole batch": self.aux_loss_enabled,
            "pad_to_multiple_of is set": self.pad_to_multiple_of,
        }
        return next((reason for reason, holds in reasons.items() if holds), None)

    def _exact_in_any_order(self: Any) -> bool:
        """Whether the loss is a sum over rows, with a normalizer that does not depend on the other rows."""
        whole = self._entropy_bonus_enabled or self.top_entropy_quantile < 1.0
        return self.loss_type in ROW_BY_ROW and not whole

    def _generate_and_score_completions(self: Any, inputs: Any) -> Any:
        self._inputs = inputs
        scored = super()._generate_and_score_completions(inputs)  # type: ignore[misc]
        if self._positive_weight != 1 and self.model.training:
            advantages = scored["advantages"]
            scored["advantages"] = torch.where(advantages > 0, advantages * self._positive_weight, advantages)
        return scored

    @property
    def _positive_weight(self: Any) -> float:
        return getattr(self.args, "positive_weight", 1.0)

    def _log_metrics(self: Any, prefix: str, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._metrics["train"][f"{prefix}/{name}"].append(float(value))

    def _outcome_place(self: Any) -> int | None:
        """The place of a suite's outcome among the reward functions; `None` without a suite's parts."""
        places = (place for place, part in enumerate(self.reward_funcs) if getattr(part, "place", None) == 0)
        return next(places, None) if scorers_of(self.reward_funcs) else None

    def _verify_early(self: Any, rows: list[int], ids_RT: torch.Tensor) -> None:
        """Run finished programs while other completions are being decoded; rewards find the verdicts in the cache."""
        texts = self.processing_class.batch_decode(ids_RT, skip_special_tokens=True)
        given = as_reward_arguments(texts, [self._inputs[row] for row in rows])
        self._early = (*self._early, self._thread.submit(self._verifier.verdicts, **given))

    @functools.cached_property
    def _thread(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(1, thread_name_prefix="rlsp-verify-early")

    def _calculate_rewards(self: Any, *args: Any, **kwargs: Any) -> Any:
        for task in self._early:  # pending tasks are left to the rewards' own call, which keeps the limit of a batch
            task.cancel()
        wait(self._early)  # an error is raised again by that call
        self._early = ()
        return super()._calculate_rewards(*args, **kwargs)  # type: ignore[misc]

    def _generate_single_turn(self: Any, prompt_ids: Any, *args: Any, **kwargs: Any) -> Any:
        model = self.accelerator.unwrap_model(self.model)
        nothing: AbstractContextManager[list[torch.Tensor]] = nullcontext([])
        programs = self._verifier is not None and self._inputs and self._inputs[0].get("tests") and not self.tools
        left = self._verify_early if programs else None
        cast = self.use_transformers_continuous_batching and not self._is_sharded  # by TRL, permanently
        types = types_kept(model) if cast else nullcontext()
        with types, finished_leave(model, left=left) if self._fast["rollout"] else nothing as drawn:
            completions = super()._generate_single_turn(prompt_ids, *args, **kwargs)  # type: ignore[misc]
        if drawn and self._keeps_drawn and all(each.dtype == torch.float32 for each in model.parameters()):
            self._drawn_BT = drawn[0]
        return completions

    def _prepare_inputs(self: Any, generation_batch: Any) -> Any:
        """TRL's method, which also generates; then sort the rows of each optimizer step over its micro-batches."""
        before = self._buffered_inputs
        inputs = super()._prepare_inputs(generation_batch)  # type: ignore[misc]
        if self._buffered_inputs is before or not self._sorts:
            return inputs
        of_generation, of_step = self.args.steps_per_generation, self.args.gradient_accumulation_steps
        window = min(of_generation, of_step)
        if max(of_generation, of_step) % window == 0:
            skips = self._fast["skip_zero_advantage"]
            batches = self._buffered_inputs
            self._buffered_inputs = [
                batch
                for start in range(0, of_generation, window)
                for batch in _sorted(batches[start : start + window], skips)
            ]
        return self._buffered_inputs[self._step % of_generation]

    def _compute_loss(self: Any, model: Any, inputs: dict[str, Any]) -> Any:
        """TRL's loss; for rows without advantage, `_get_per_token_logps_and_entropies` fills in unchanged values."""
        advantages = inputs["advantages"]
        if self._fast["skip_zero_advantage"] and advantages.dim() == 1:
            self._skipped_B, self._stand_in_BT = advantages == 0, inputs.get("old_per_token_logps")
        try:
            return super()._compute_loss(model, inputs)  # type: ignore[misc]
        finally:
            self._skipped_B = self._stand_in_BT = None

    def _get_per_token_logps_and_entropies(
        self: Any, model: Any, input_ids: Any, attention_mask: Any, logits_to_keep: int, *args: Any, **kwargs: Any
    ) -> Any:
        """TRL's method, restricted to rows with an advantage; the other rows get ratios of 1 and the mean entropy.

        The first call after a rollout returns the log-probabilities that the rollout computed.
        """
        whole = super()._get_per_token_logps_and_entropies  # type: ignore[misc]
        drawn_BT, self._drawn_BT = self._drawn_BT, None
        if drawn_BT is not None and len(drawn_BT) == len(input_ids) and drawn_BT.shape[1] >= logits_to_keep:
            return drawn_BT[:, :logits_to_keep], None, None
        if self._skipped_B is None or not self._skipped_B.any():
            return whole(model, input_ids, attention_mask, logits_to_keep, *args, **kwargs)
        learned_R = (~self._skipped_B).nonzero().flatten()
        if not len(learned_R):  # a step without a gradient still runs on every rank
            learned_R = attention_mask.sum(dim=1).argmin().view(1)
        found_RT, entropy_RT, aux = whole(
            model, input_ids[learned_R], attention_mask[learned_R], logits_to_keep, *args, **kwargs
        )
        old_BT = found_RT.new_zeros(len(input_ids), logits_to_keep) if self._stand_in_BT is None else self._stand_in_BT
        mask_RT = attention_mask[learned_R, -logits_to_keep:]
        mean = (entropy_RT * mask_RT).sum() / mask_RT.sum().clamp(min=1)
        entropy_BT = mean.expand_as(old_BT).index_copy(0, learned_R, entropy_RT)
        return old_BT.to(found_RT.dtype).index_copy(0, learned_R, found_RT), entropy_BT, aux


def as_reward_arguments(texts: list[str], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What TRL passes to a reward for decoded completions of these rows of the data set."""
    spoken = is_conversational(rows[0])
    completions = [[{"role": "assistant", "content": text}] for text in texts] if spoken else texts
    columns = {name: [row.get(name) for row in rows] for name in rows[0] if name != "prompt"}
    return {**columns, "completions": completions, "prompts": [row["prompt"] for row in rows]}


def _sorted(batches: list[dict[str, Any]], skips: bool) -> list[dict[str, Any]]:
    """The rows of some micro-batches redistributed by length; with `skips`, rows without advantage come first."""
    if len(batches) == 1:
        return batches
    rows = len(batches[0]["advantages"])
    by_row = {
        name: torch.cat([batch[name] for batch in batches])
        for name, value in batches[0].items()
        if isinstance(value, torch.Tensor) and value.dim() > 0
    }
    lengths = by_row["completion_mask"].sum(dim=1)
    if skips and by_row["advantages"].dim() == 1:
        lengths = lengths * (by_row["advantages"] != 0)
    order = torch.argsort(lengths, stable=True)
    parts = {name: value[order].split(rows) for name, value in by_row.items()}
    return [{**batch, **{name: part[index] for name, part in parts.items()}} for index, batch in enumerate(batches)]


def compute_in_parts(model: Any, rows: int = ROWS, tokens: int | None = None) -> bool:
    """Make a causal model with TRL's fused head compute log-probabilities in parts of `rows` rows of similar length.

    With `tokens`, a part has as many rows as fit into that many tokens, padding included, and at least one.

    Replaces `forward`; other forward passes do not change, and DDP, PEFT and autocast still see a single pass.

    Returns:
        Whether `forward` was replaced; it is not if rotary angles depend on the width of the batch.
    """
    if tokens is not None and tokens < 1:
        raise ConfigError(f"part_tokens is a number of tokens of at least 1, got {tokens!r}")
    config = model.config.get_text_config()
    if _rotary_kinds(config) & {"dynamic", "longrope"}:
        return False
    whole, relative = model.forward, _is_relative(config)

    @functools.wraps(whole)
    def forward(*args: Any, **kwargs: Any) -> Any:
        given = {name: value for name, value in kwargs.items() if value is not None}
        tensors = [given.pop(name, None) for name in ("input_ids", "attention_mask", "labels")]
        plain = all(isinstance(value, bool) for value in given.values()) and not given.get("output_router_logits")
        if args or not plain or not given.get("fused_lm_head") or any(tensor is None for tensor in tensors):
            return whole(*args, **kwargs)
        return _in_parts(functools.partial(whole, **given), *tensors, rows=rows, tokens=tokens, relative=relative)

    model.forward = forward
    return True


def _rotary_kinds(config: Any) -> set[str]:
    parameters = getattr(config, "rope_parameters", None) or {}
    each = [parameters, *(value for value in parameters.values() if isinstance(value, dict))]  # one per kind of layer
    return {str(settings["rope_type"]) for settings in each if "rope_type" in settings}


def _is_relative(config: Any) -> bool:
    """Whether a row's outputs stay the same when columns of padding before its prompt are dropped."""
    layers = set(getattr(config, "layer_types", None) or []) <= {"full_attention", "sliding_attention"}
    return bool(_rotary_kinds(config)) and layers and not getattr(config, "attention_chunk_size", None)


def _split(order_R: torch.Tensor, ends: list[int], rows: int, tokens: int | None) -> Sequence[torch.Tensor]:
    """Split rows, in rising order of their `ends`, into parts of `rows` rows or of at most `tokens` tokens."""
    if tokens is None:
        return order_R.split(rows)
    sizes = [0]
    for end in ends:
        if sizes[-1] and (sizes[-1] + 1) * end > tokens:
            sizes.append(0)
        sizes[-1] += 1
    return order_R.split(sizes)


def _in_parts(
    whole: Any,
    ids_BT: torch.Tensor,
    mask_BT: torch.Tensor,
    labels_BT: torch.Tensor,
    *,
    rows: int,
    tokens: int | None,
    relative: bool,
) -> Any:
    """TRL's output of the fused head for B rows of T tokens; rows without a label are skipped and give zeros."""
    columns = ids_BT.shape[1]
    places_T = torch.arange(columns, device=ids_BT.device)
    labeled_B = (labels_BT != -100).any(dim=1)
    labeled_B[0] |= ~labeled_B.any()  # one row keeps the output connected to the weights
    first_B = torch.where(mask_BT.bool(), places_T, columns - 2).amin(dim=1) * relative
    last_B = torch.where((mask_BT * labeled_B[:, None]).bool(), places_T, 0).amax(dim=1).clamp(min=1)
    order_R = torch.argsort(last_B)[(~labeled_B).sum() :]
    parts: dict[str, list[torch.Tensor]] = {"log_probs": [], "entropy": []}
    for part in _split(order_R, (last_B[order_R] + 1).tolist(), rows, tokens):
        end = int(last_B[part].max()) + 1
        cut = slice(min(int(first_B[part].min()), end - 2), end)
        output = whole(input_ids=ids_BT[part, cut], attention_mask=mask_BT[part, cut], labels=labels_BT[part, cut])
        for name, values in parts.items():
            if (numbers := getattr(output, name)) is not None:
                values.append(pad(numbers, (cut.start, columns - end)))
    empty = parts["log_probs"][0].new_zeros(len(ids_BT), columns - 1)
    return type(output)(
        **{name: empty.index_copy(0, order_R, torch.cat(values)) for name, values in parts.items() if values}
    )
