"""Log-probabilities without most of the padding: rows of like length are computed together, each part cut to its width.

TRL pads every row of a generation to the longest prompt and the longest completion, and computes all of it in every
update. What is cut here is masked there, so the numbers are the same but for rounding.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch.nn.functional import pad

ROWS = 16
"""Rows of a part."""


def compute_in_parts(model: Any, rows: int = ROWS) -> bool:
    """Make a model with TRL's fused head compute its log-probabilities in parts; its other passes stay as they are.

    One pass of the model stays one pass for whatever wraps it (DDP, PEFT, autocast).

    Args:
        model: a causal language model to which TRL's `add_fused_lm_head` was applied; its `forward` is replaced.
        rows: rows of a part.

    Returns:
        Whether it was: not where rotary angles depend on the width of the batch.
    """
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
        return _in_parts(functools.partial(whole, **given), *tensors, rows=rows, relative=relative)

    model.forward = forward
    return True


def _rotary_kinds(config: Any) -> set[str]:
    found = getattr(config, "rope_parameters", None) or {}
    each = [found, *(value for value in found.values() if isinstance(value, dict))]  # one for each kind of layer
    return {str(settings["rope_type"]) for settings in each if "rope_type" in settings}


def _is_relative(config: Any) -> bool:
    """Whether a row's numbers stay the same where columns of padding before its prompt are cut."""
    layers = set(getattr(config, "layer_types", None) or []) <= {"full_attention", "sliding_attention"}
    return bool(_rotary_kinds(config)) and layers and not getattr(config, "attention_chunk_size", None)


def _in_parts(
    whole: Any,
    ids_BT: torch.Tensor,
    mask_BT: torch.Tensor,
    labels_BT: torch.Tensor,
    *,
    rows: int,
    relative: bool,
) -> Any:
    """TRL's output of the fused head for B rows of T tokens; rows without a label give zeros and are left out."""
    columns = ids_BT.shape[1]
    places_T = torch.arange(columns, device=ids_BT.device)
    labeled_B = (labels_BT != -100).any(dim=1)
    labeled_B[0] |= ~labeled_B.any()  # one row keeps the output connected to the weights
    first_B = torch.where(mask_BT.bool(), places_T, columns - 2).amin(dim=1) * relative
    last_B = torch.where((mask_BT * labeled_B[:, None]).bool(), places_T, 0).amax(dim=1).clamp(min=1)
    order_R = torch.argsort(last_B)[(~labeled_B).sum() :]
    parts: dict[str, list[torch.Tensor]] = {"log_probs": [], "entropy": []}
    for part in order_R.split(rows):
        end = int(last_B[part].max()) + 1
        cut = slice(min(int(first_B[part].min()), end - 2), end)
        found = whole(input_ids=ids_BT[part, cut], attention_mask=mask_BT[part, cut], labels=labels_BT[part, cut])
        for name, values in parts.items():
            if (numbers := getattr(found, name)) is not None:
                values.append(pad(numbers, (cut.start, columns - end)))
    empty = parts["log_probs"][0].new_zeros(len(ids_BT), columns - 1)
    return type(found)(
        **{name: empty.index_copy(0, order_R, torch.cat(values)) for name, values in parts.items() if values}
    )
