"""TRL's trainers with RLSP's rewards and defaults, the exact fast step of GRPO, and LoRA adapters.

Promises: gradients match TRL's up to rounding, no trace is cut without a warning, the adapter of a quantized model
trains in float32, and a merged model is kept only if its logits match the adapter's. Knows nothing about YAML files,
stages or commands.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
