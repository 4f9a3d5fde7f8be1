"""The memory that a stage needs on each GPU and its hours, computed from its settings and the model's configuration.

Promises: each part of the memory is tested against what torch, peft and bitsandbytes allocate, each assumption about
time is named, and no weights are loaded. Knows nothing about the data but the number of rows and of tokens it is given.
"""

from trl_rlsp.planning._hours import CARDS, Card, Hours, Span, Work, hours
from trl_rlsp.planning._layouts import GIB, STRATEGIES, Layout, Remedy, Strategy, layout, remedies, strategies
from trl_rlsp.planning._memory import Architecture, optimizer_bytes, trained_bytes, weight_bytes
from trl_rlsp.planning._settings import BYTES, Settings, Tokens, steps_of, tokens_per_step
