"""TRL's trainers with RLSP's rewards and defaults, the exact fast step of GRPO, and LoRA adapters.

Promises: gradients are those of TRL up to rounding, no trace is cut without a warning, the adapter of a quantized model
trains in float32, and a merged model is kept only if its logits are the adapter's. Knows nothing of YAML files, stages
and commands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trl_rlsp.lazy import attach

if TYPE_CHECKING:
    from trl_rlsp.trainers._adapter import is_adapter, load_trainable, merge_adapter
    from trl_rlsp.trainers._fast_step import compute_in_parts
    from trl_rlsp.trainers.grpo import RLSPGRPOConfig, RLSPGRPOTrainer
    from trl_rlsp.trainers.sft import RLSPSFTConfig, RLSPSFTTrainer

__getattr__, __all__ = attach(__name__, __file__)
