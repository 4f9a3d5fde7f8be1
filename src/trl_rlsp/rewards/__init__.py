"""Rewards for RL: the outcome verifier, exploration rewards that do not look at correctness, and the suite of both.

Promises: each reward is a function as `trl.GRPOTrainer` takes it; what is not scorable is `None` and counted; all
rewards of a suite see one reading of each completion and one verdict. Knows nothing of models, data sets and files of
settings; of a trainer only the arguments and the logger that TRL hands to a reward.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
