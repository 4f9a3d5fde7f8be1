"""Rewards for RL: the outcome verifier, exploration rewards that ignore correctness, and the suite of both.

Promises: each reward is a reward function for `trl.GRPOTrainer`; unscorable completions score `None` and are counted;
all rewards of a suite share one reading and one verdict per completion. Does not depend on models, data sets or config
files; of a trainer it uses only the arguments and the logger that TRL passes to a reward.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
