"""Forward passes of training without most of the padding.

The trainer pads every batch to its longest completion. Where lengths differ much, as they do in these experiments, most
of what the model then computes is padding. Here the rows of a batch are sorted by length and computed in parts, each as
wide as its own longest row: the same numbers but for rounding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import torch

Model = TypeVar("Model", bound="torch.nn.Module")


def without_padding(model: Model, rows: int = 8) -> Model:
    """Make the backbone of a causal language model compute long batches in parts; returns the model.

    Only passes without a cache are changed: generation decodes as before.

    Args:
        model: a model with relative positions (rotary embeddings), since columns of padding are cut on both sides.
        rows: rows of a part.
    """
    backbone: Any = model.base_model
    whole = backbone.forward

    def forward(input_ids: Any = None, attention_mask: Any = None, use_cache: Any = None, **kwargs: Any) -> Any:
        short = input_ids is None or attention_mask is None or attention_mask.dim() != 2 or len(input_ids) <= rows
        if use_cache is not False or short:
            return whole(input_ids=input_ids, attention_mask=attention_mask, use_cache=use_cache, **kwargs)
        return _in_parts(whole, input_ids, attention_mask, rows, kwargs)

    backbone.forward = forward
    return model


def _in_parts(whole: Any, ids_BT: torch.Tensor, mask_BT: torch.Tensor, rows: int, kwargs: dict[str, Any]) -> Any:
    import torch
    from torch.nn.functional import pad
    from transformers.modeling_outputs import BaseModelOutputWithPast

    columns = ids_BT.shape[1]
    places_T = torch.arange(columns, device=ids_BT.device)
    first_B = torch.where(mask_BT.bool(), places_T, columns - 1).amin(dim=1)
    last_B = torch.where(mask_BT.bool(), places_T, 0).amax(dim=1)
    order_B = torch.argsort(last_B)
    parts = []
    for part in order_B.split(rows):
        start, end = int(first_B[part].min()), int(last_B[part].max()) + 1
        cut = slice(min(start, end - 1), end)
        found = whole(input_ids=ids_BT[part, cut], attention_mask=mask_BT[part, cut], use_cache=False, **kwargs)
        parts.append(pad(found.last_hidden_state, (0, 0, cut.start, columns - end)))
    return BaseModelOutputWithPast(last_hidden_state=torch.cat(parts)[torch.argsort(order_B)])
