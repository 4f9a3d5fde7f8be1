"""What a stage takes of each GPU, computed from its settings and the model's configuration, and what would make it fit.

Each part is tested against what torch, peft and bitsandbytes allocate. It knows neither the data nor how long anything
takes, and it loads no weights.
"""

from trl_rlsp.planning._architecture import Architecture, Linear
from trl_rlsp.planning._layouts import GIB, STRATEGIES, Layout, Remedy, Strategy, layout, remedies, strategies
from trl_rlsp.planning._memory import (
    Activations,
    activations,
    adapter_bytes,
    optimizer_bytes,
    trained_bytes,
    weight_bytes,
)
from trl_rlsp.planning._settings import BYTES, Settings, Tokens, tokens_per_step

__all__ = [
    "BYTES",
    "GIB",
    "STRATEGIES",
    "Activations",
    "Architecture",
    "Layout",
    "Linear",
    "Remedy",
    "Settings",
    "Strategy",
    "Tokens",
    "activations",
    "adapter_bytes",
    "layout",
    "optimizer_bytes",
    "remedies",
    "strategies",
    "tokens_per_step",
    "trained_bytes",
    "weight_bytes",
]
