"""A KV cache that is written into instead of concatenated, for sequences that leave the batch now and then.

transformers' `DynamicCache` copies all it holds for each new token; for small models that is a third of decoding
(`benchmarks/decoding.py`). Here the cache is copied once a segment, when finished sequences leave.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

if TYPE_CHECKING:
    import torch


class RoomyLayer(DynamicLayer):
    """One layer's keys and values (B, heads, T, width), with room for tokens to come.

    Args:
        layer: the layer whose content is taken over.
        keep: indices of the sequences that go on.
        room: tokens that can be added before the layer grows by concatenation, as its base class does.
    """

    def __init__(self, layer: Any, keep: torch.Tensor, room: int) -> None:
        super().__init__()
        self.dtype, self.device, self.is_initialized = layer.dtype, layer.device, True
        self._length = layer.keys.shape[-2]
        self._rooms = [_with_room(held, keep, room) for held in (layer.keys, layer.values)]
        self.keys, self.values = (held[:, :, : self._length] for held in self._rooms)

    def update(self, key_states: Any, value_states: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        """Add the states of new tokens (B, heads, new, width); returns all keys and values."""
        start, end = self._length, self._length + key_states.shape[-2]
        self._length = end
        if end > self._rooms[0].shape[-2]:
            return super().update(key_states, value_states)
        for held, new in zip(self._rooms, (key_states, value_states), strict=True):
            held[:, :, start:end] = new
        self.keys, self.values = (held[:, :, :end] for held in self._rooms)
        return self.keys, self.values


def _with_room(held: torch.Tensor, keep: torch.Tensor, room: int) -> torch.Tensor:
    _, heads, length, width = held.shape
    roomy = held.new_empty(len(keep), heads, length + room, width)
    roomy[:, :, :length] = held[keep]
    return roomy


def kept(cache: Any, keep: torch.Tensor, room: int) -> Any:
    """The cache of the sequences that go on, or `None`, so that it is computed anew, where its kind cannot be cut.

    Args:
        cache: what `generate` returned.
        keep: indices of the sequences that go on.
        room: tokens until the next cut.
    """
    if cache is None or not hasattr(cache, "batch_select_indices"):
        return None
    if all(map(_can_have_room, getattr(cache, "layers", None) or [None])):
        for index, layer in enumerate(cache.layers):  # one by one, so that two copies of a single layer exist at most
            cache.layers[index] = RoomyLayer(layer, keep, room)
    else:
        cache.batch_select_indices(keep)
    return cache


def can_be_cut(cache: Any) -> bool:
    """Whether `kept` can drop and repeat sequences of a cache as `generate` makes it, before it is filled."""
    layers = getattr(cache, "layers", None)
    lazily = getattr(cache, "layer_class_to_replicate", None)  # layers are made when they are first used
    kinds = {type(layer) for layer in layers or []} | ({lazily} if lazily else set())
    return bool(kinds) and kinds <= {DynamicLayer, DynamicSlidingWindowLayer}


def _can_have_room(layer: Any) -> bool:
    return type(layer) in (DynamicLayer, RoomyLayer) and layer.get_seq_length() > 0
