"""`rlsp merge --adapter DIR --output_dir DIR`: an adapter into its base."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trl_rlsp.stages.parsing import parse_stage


@dataclass
class MergeArguments:
    """What to merge, and where to write it."""

    adapter: str = field(metadata={"help": "folder or hub id of the adapter"})
    output_dir: Path = field(metadata={"help": "empty folder for the merged model"})
    base: str | None = field(
        default=None, metadata={"help": "the unquantized base; default the one that the adapter names"}
    )
    dtype: str | None = field(
        default=None, metadata={"help": "type of the saved weights: float32, bfloat16, float16; default the base's"}
    )


def run_merge(arguments: Sequence[str]) -> None:
    """Merge an adapter into its base, compare logits, and print what was found.

    Args:
        arguments: options of the command.

    Raises:
        RLSPError: an adapter or a base that cannot be merged, or a merged model that differs.
    """
    from trl_rlsp.text.terminal import Terminal
    from trl_rlsp.trainers.merging import merge_adapter

    given = parse_merge(arguments)
    found = merge_adapter(given.adapter, given.output_dir, base=given.base, dtype=given.dtype)
    text = (
        f"{found.layers} layers merged into {found.base} in float32, saved as {found.dtype}: logits differ from the "
        f"adapter's by {found.difference:.2g} of the largest ({found.tolerance:g} is allowed, the adapter changes "
        f"them by {found.effect:.2g})\nmodel: {given.output_dir}"
    )
    Terminal(soft_wrap=True).print(text)


def parse_merge(arguments: Sequence[str]) -> MergeArguments:
    """The command's arguments."""
    described = (
        "Merge a LoRA adapter into its unquantized base in float32, and compare the logits of what was saved with "
        "those of the adapter."
    )
    (given,) = parse_stage((MergeArguments,), arguments, "rlsp merge", description=described)
    return given  # type: ignore[no-any-return]
