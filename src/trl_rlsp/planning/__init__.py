"""The memory that a stage needs on each GPU, computed from its settings and the model's configuration, and remedies.

Promises: each part is tested against the memory that torch, peft and bitsandbytes allocate, and no weights are loaded.
Knows nothing about the data.
"""

from trl_rlsp.planning._layouts import GIB, STRATEGIES, Layout, Remedy, Strategy, layout, remedies, strategies
from trl_rlsp.planning._memory import Architecture, adapter_bytes, optimizer_bytes, trained_bytes, weight_bytes
from trl_rlsp.planning._settings import BYTES, Settings, Tokens, tokens_per_step
