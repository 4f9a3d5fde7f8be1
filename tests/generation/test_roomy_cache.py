"""The cache with room holds what transformers' own cache would hold."""

from __future__ import annotations

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from trl_rlsp.generation.local import RoomyLayer, kept

LAYERS, HEADS, WIDTH = 2, 3, 4


def states(batch, tokens, seed):
    return torch.randn(batch, HEADS, tokens, WIDTH, generator=torch.Generator().manual_seed(seed))


def add(cache, batch, tokens, seed):
    """What each layer returns for new tokens."""
    return [
        cache.update(states(batch, tokens, seed + layer), states(batch, tokens, seed + layer + 50), layer)
        for layer in range(LAYERS)
    ]


def same(ours, theirs):
    pairs = [pair for a, b in zip(ours, theirs, strict=True) for pair in zip(a, b, strict=True)]
    return all(torch.equal(a, b) for a, b in pairs)


def test_holds_what_concatenation_holds_within_its_room_and_beyond():
    """5 tokens of 4 sequences, 2 sequences leave, then 2 + 1 tokens fit into the room of 3 and the next 2 do not."""
    ours, theirs, keep = DynamicCache(), DynamicCache(), torch.tensor([0, 2])
    add(ours, 4, 5, 0)
    add(theirs, 4, 5, 0)
    ours = kept(ours, keep, 3)
    theirs.batch_select_indices(keep)
    assert all(isinstance(layer, RoomyLayer) for layer in ours.layers)
    for seed, tokens in ((100, 2), (200, 1), (300, 2), (400, 1)):
        assert same(add(ours, 2, tokens, seed), add(theirs, 2, tokens, seed))
        assert ours.get_seq_length() == theirs.get_seq_length()
    assert ours.get_seq_length() == 5 + 2 + 1 + 2 + 1


def test_is_cut_a_second_time():
    ours, theirs = DynamicCache(), DynamicCache()
    for seed, batch, keep in ((0, 4, [1, 2, 3]), (100, 3, [0, 2]), (200, 2, [1])):
        assert same(add(ours, batch, 2, seed), add(theirs, batch, 2, seed))
        ours = kept(ours, torch.tensor(keep), 2)
        theirs.batch_select_indices(torch.tensor(keep))
    assert same(add(ours, 1, 1, 300), add(theirs, 1, 1, 300))


def test_other_kinds_of_layers_stay_as_they_are():
    cache = DynamicCache()
    cache.layers = [DynamicSlidingWindowLayer(sliding_window=8) for _ in range(LAYERS)]
    add(cache, 3, 2, 0)
    cut = kept(cache, torch.tensor([2]), 4)
    assert all(isinstance(layer, DynamicSlidingWindowLayer) for layer in cut.layers)
    assert cut.layers[0].keys.shape[0] == 1


def test_layers_that_hold_nothing_stay_as_they_are():
    cache = DynamicCache()
    cache.layers = [DynamicLayer() for _ in range(LAYERS)]
    assert kept(cache, torch.tensor([0]), 4).layers == cache.layers
