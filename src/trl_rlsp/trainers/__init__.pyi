from ._adapter import is_adapter as is_adapter, load_trainable as load_trainable, merge_adapter as merge_adapter
from ._fast_step import compute_in_parts as compute_in_parts
from .grpo import RLSPGRPOConfig as RLSPGRPOConfig, RLSPGRPOTrainer as RLSPGRPOTrainer
from .sft import RLSPSFTConfig as RLSPSFTConfig, RLSPSFTTrainer as RLSPSFTTrainer
