"""`rlsp merge --adapter DIR --output_dir DIR`: an adapter into its base."""

from __future__ import annotations

import argparse
from pathlib import Path


def run_merge(arguments: list[str]) -> None:
    """Merge an adapter into its base, compare logits, and print what was found.

    Args:
        arguments: options of the command.

    Raises:
        RLSPError: an adapter or a base that cannot be merged, or a merged model that differs.
    """
    from rich.console import Console
    from rich.markup import escape

    from trl_rlsp.trainers.merging import merge_adapter

    given = parse_merge(arguments)
    found = merge_adapter(given.adapter, given.output_dir, base=given.base, dtype=given.dtype)
    text = (
        f"{found.layers} layers merged into {found.base} in float32, saved as {found.dtype}: logits differ from the "
        f"adapter's by {found.difference:.2g} of the largest ({found.tolerance:g} is allowed, the adapter changes "
        f"them by {found.effect:.2g})\nmodel: {given.output_dir}"
    )
    Console(soft_wrap=True, highlight=False).print(escape(text))


def parse_merge(arguments: list[str]) -> argparse.Namespace:
    """The command's arguments."""
    parser = argparse.ArgumentParser(
        prog="rlsp merge",
        description="Merge a LoRA adapter into its unquantised base in float32, and compare the logits of what was "
        "saved with those of the adapter.",
    )
    parser.add_argument("--adapter", required=True, help="folder or hub id of the adapter")
    parser.add_argument("--output_dir", required=True, type=Path, help="empty folder for the merged model")
    parser.add_argument("--base", help="the unquantised base; default the one that the adapter names")
    parser.add_argument("--dtype", help="type of the saved weights: float32, bfloat16, float16; default the base's")
    return parser.parse_args(arguments)
