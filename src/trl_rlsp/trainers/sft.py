"""SFT on demonstrations of reasoning: TRL's `SFTTrainer`, with a report of truncated traces.

TRL truncates the end of a sequence at `max_length`, by default 1,024 tokens: a long trace loses its answer, and the
model learns to reason without ever answering. This trainer counts and reports every trace that is cut.
"""

from __future__ import annotations

import copy
import inspect
import logging
from dataclasses import dataclass, field
from typing import Any

from trl import SFTConfig, SFTTrainer

from trl_rlsp.errors import ConfigError
from trl_rlsp.trainers._adapter import keep_full_precision, trainable_weights, warn_if_untested

logger = logging.getLogger(__name__)


@dataclass
class RLSPSFTConfig(SFTConfig):
    """`SFTConfig` with room for long reasoning: 8,192 tokens as in the paper (TRL: 1,024)."""

    max_length: int | None = field(default=8192, metadata={"help": "Longest sequence in tokens; longer ones are cut."})
    max_cut_share: float = field(default=0.5, metadata={"help": "Refuse to train if a larger share (0 to 1) is cut."})

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.max_cut_share <= 1:
            raise ConfigError(f"max_cut_share is a share from 0 to 1, got {self.max_cut_share!r}")


@dataclass(frozen=True)
class CutTraces:
    """The number of traces of a data set that `max_length` cuts."""

    dataset: str  # "train", or the name of an evaluation set
    total: int
    cut: int
    longest: int  # length in tokens

    @property
    def share(self) -> float:
        """Share of traces that are cut; 0.0 if there are no traces."""
        return self.cut / self.total if self.total else 0.0


class RLSPSFTTrainer(SFTTrainer):
    """`SFTTrainer` that counts and reports the traces cut by `max_length`; `args` defaults to `RLSPSFTConfig`.

    `trainer.cut_traces` holds one `CutTraces` per prepared data set. Nothing is counted without `max_length`, for
    streaming data sets, or if packing splits long traces instead of cutting them.

    Raises:
        ConfigError: more than `max_cut_share` of the training traces would be cut.
    """

    _tag_names = ["trl", "sft", "rlsp"]
    _name = "RLSP SFT"
    cut_traces: tuple[CutTraces, ...] = ()

    def __init__(self, model: Any, args: Any = None, *others: Any, **kwargs: Any) -> None:
        if args is None:
            name = model if isinstance(model, str) else model.config._name_or_path
            args = RLSPSFTConfig(f"{name.split('/')[-1] or 'model'}-SFT")
        warn_if_untested()
        before = trainable_weights(model)
        super().__init__(model, args, *others, **kwargs)
        if not self.is_fsdp_enabled:  # FSDP shards weights of one type only
            keep_full_precision(self.model, before)

    __init__.__signature__ = inspect.signature(SFTTrainer.__init__)  # type: ignore[attr-defined]

    def _prepare_dataset(
        self, dataset: Any, processing_class: Any, args: Any, packing: bool, formatting_func: Any, dataset_name: str
    ) -> Any:
        splits = packing and args.packing_strategy in ("wrapped", "bfd_split")  # they split long traces, not cut them
        if args.max_length is None or splits or not hasattr(dataset, "__len__"):
            return super()._prepare_dataset(dataset, processing_class, args, packing, formatting_func, dataset_name)
        whole = copy.copy(args)
        whole.max_length, whole.shuffle_dataset = None, False
        tokenized = super()._prepare_dataset(dataset, processing_class, whole, False, formatting_func, dataset_name)
        cut = count_cut(tokenized, args.max_length, dataset_name)
        self.cut_traces = (*self.cut_traces, cut)
        _report(cut, args)
        return super()._prepare_dataset(tokenized, processing_class, args, packing, None, dataset_name)


def count_cut(tokenized: Any, max_length: int, name: str) -> CutTraces:
    """Count the rows of a tokenized data set that are longer than `max_length` tokens."""
    lengths = [len(ids) for ids in tokenized["input_ids"]]
    return CutTraces(name, len(lengths), sum(length > max_length for length in lengths), max(lengths, default=0))


def _report(cut: CutTraces, args: SFTConfig) -> None:
    if not cut.cut:
        logger.info("no trace of %s is cut: the longest has %d tokens", cut.dataset, cut.longest)
        return
    lost = "START, the problem included" if args.truncation_mode == "keep_end" else "END, the answer included"
    message = (
        f"{cut.cut} of {cut.total} traces of `{cut.dataset}` ({cut.share:.1%}) are longer than "
        f"max_length={args.max_length} and LOSE THEIR {lost}; the longest has {cut.longest} "
        f"tokens. Set max_length={cut.longest}, or leave the long traces out."
    )
    most = getattr(args, "max_cut_share", 1.0)
    if cut.dataset == "train" and cut.share > most:
        raise ConfigError(f"{message} More than max_cut_share={most} are cut.")
    logger.warning(message)
