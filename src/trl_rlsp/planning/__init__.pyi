from ._hours import CARDS as CARDS, Card as Card, Hours as Hours, Span as Span, Work as Work, hours as hours
from ._layouts import (
    GIB as GIB,
    STRATEGIES as STRATEGIES,
    Layout as Layout,
    Remedy as Remedy,
    Strategy as Strategy,
    largest_batch as largest_batch,
    layout as layout,
    remedies as remedies,
    strategies as strategies,
)
from ._memory import (
    Architecture as Architecture,
    cache_bytes as cache_bytes,
    checkpoint_bytes as checkpoint_bytes,
    weight_bytes as weight_bytes,
)
from ._settings import (
    BYTES as BYTES,
    Settings as Settings,
    steps_of as steps_of,
    tokens_per_step as tokens_per_step,
    type_of as type_of,
)
