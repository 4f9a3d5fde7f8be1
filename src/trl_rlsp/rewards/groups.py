"""Which completions answer the same problem, on whatever rank they are.

In TRL a reward sees only its rank's slice of the batch, and a group of completions may be split over ranks. What
depends on a group (its failure rate, its diversity) is therefore gathered. A group is recognised by what was asked:
two groups of one batch with an identical problem are pooled. Without `torch.distributed`, or in a world of one
process, nothing is sent.

Gathering is collective: in a distributed run every rank calls the functions here in the same order and equally
often, whatever it holds, or all of them wait for ever.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from trl_rlsp.errors import ConfigError

T = TypeVar("T")

PROBLEM_COLUMNS = ("tests", "task", "solution")
"""Columns that are part of a problem's identity, beside the prompt."""


class Member(NamedTuple, Generic[T]):
    """One completion's view of its group.

    Attributes:
        values: the values of the whole group over all ranks, in rank order, then in batch order.
        position: index of the completion's own value among them.
    """

    values: list[T]
    position: int


def group_keys(prompts: Sequence[Any] | None, kwargs: Mapping[str, Any]) -> list[str]:
    """The identity of each completion's group: a hash of its prompt and the data set's columns.

    Equal on every rank and in every run; the order of a message's fields does not matter.

    Args:
        prompts: B prompts, strings or message lists, as TRL passes them.
        kwargs: the reward's other arguments; `tests`, `task` and `solution` are used where they are given.

    Returns:
        B strings of 32 hexadecimal digits.

    Raises:
        ConfigError: no prompts, or a column of another length.

    Example:
        >>> one, two, three = group_keys(["1 + 2", "3 + 4", "1 + 2"], {"solution": ["3", "7", "3"]})
        >>> one == three, one == two
        (True, False)
    """
    if prompts is None:
        raise ConfigError("a group is the completions of one prompt, got no prompts; pass prompts=[...]")
    columns = [kwargs[name] for name in PROBLEM_COLUMNS if kwargs.get(name) is not None]
    for column in columns:
        if len(column) != len(prompts):
            raise ConfigError(f"{len(prompts)} prompts need {len(prompts)} values in each column, got {len(column)}")
    return [_digest(row) for row in zip(prompts, *columns, strict=True)]


def _digest(row: tuple[Any, ...]) -> str:
    written = json.dumps(row, sort_keys=True, default=_written)
    return hashlib.blake2b(written.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _written(value: Any) -> Any:
    """What stands for a value that JSON does not know: an image's or array's bytes, else its text."""
    if hasattr(value, "tobytes"):
        return hashlib.blake2b(value.tobytes(), digest_size=16).hexdigest()
    if isinstance(value, (set, frozenset)):
        return sorted(map(str, value))
    return str(value)


def gather_members(keys: Sequence[str], values: Sequence[T]) -> list[Member[T]]:
    """For each local completion its group's values over all ranks, and which of them is its own; one exchange.

    Args:
        keys: B keys from `group_keys`.
        values: B values that can be pickled.

    Example:
        >>> gather_members(["a", "b", "a"], [1, 2, 3])[2]
        Member(values=[1, 3], position=1)
    """
    groups: dict[str, list[T]] = {}
    positions: list[int] = []
    own_rank, ranks = gather_ranks(list(zip(keys, values, strict=True)))
    for rank, rows in enumerate(ranks):
        for key, value in rows:
            group = groups.setdefault(key, [])
            if rank == own_rank:
                positions.append(len(group))
            group.append(value)
    return [Member(groups[key], position) for key, position in zip(keys, positions, strict=True)]


def gather_ranks(items: list[T]) -> tuple[int, list[list[T]]]:
    """This process's rank and the items of all ranks, in rank order; (0, [items]) where there is one process."""
    distributed: Any = sys.modules.get("torch.distributed")  # not imported: then there is nothing to gather over
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return 0, [items]
    world = distributed.get_world_size()
    if world == 1:
        return 0, [items]
    gathered: list[Any] = [None] * world
    distributed.all_gather_object(gathered, items)
    return distributed.get_rank(), gathered
