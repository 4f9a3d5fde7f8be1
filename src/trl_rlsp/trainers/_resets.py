"""Resets of a long run: the reference becomes the current policy, and the optimizer starts afresh.

ProRL (2505.24864) goes on learning over thousands of updates by resetting both from time to time. TRL's
`sync_ref_model` moves a reference that is a model of its own, but neither adapters nor the optimizer, and its reference
is not in checkpoints: after resuming it is the starting model again. Here it is saved and loaded in both cases.
"""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

from transformers import TrainerCallback
from trl.trainer.callbacks import SyncRefModelCallback

from trl_rlsp.errors import ConfigError

log = logging.getLogger(__name__)

FOLDER = "reference"  # in a checkpoint; a reference adapter is saved by PEFT, in `ref`


class Resets:
    """Mixin placed before `GRPOTrainer`; off unless `reset_steps` or `sync_ref_model`."""

    def _prepare_resets(self: Any) -> None:
        """Refuse, after TRL's `__init__`, settings that cannot work; give a new adapter a reference adapter."""
        if (steps := getattr(self.args, "reset_steps", None)) is None:
            return
        if steps < 1:
            raise ConfigError(f"reset_steps is a number of updates of at least 1, got {steps!r}; leave it out for none")
        if self._is_sharded:
            raise ConfigError(f"reset_steps={steps} does not work with sharded weights (FSDP, DeepSpeed): leave it out")
        if self.beta and self.ref_model is None and "ref" not in self.model.peft_config:
            self.model.add_adapter("ref", self.model.peft_config["default"])
            self._copy_adapter()  # without it, TRL's reference is the base
        self.add_callback(_Resetting(self, steps))

    def _reset(self: Any) -> None:
        if self.ref_model is not None:
            SyncRefModelCallback.sync_target_model(self.accelerator.unwrap_model(self.model), self.ref_model, 1.0)
        elif self.beta:
            self._copy_adapter()
        self.optimizer.state.clear()
        log.info("step %d: the reference is the policy, the optimizer's state is empty", self.state.global_step)

    def _copy_adapter(self: Any) -> None:
        weights = dict(self.accelerator.unwrap_model(self.model).named_parameters())
        for name, weight in weights.items():
            if ".ref." in name:
                weight.data.copy_(weights[name.replace(".ref.", ".default.")].data)

    def _moves_reference(self: Any) -> bool:
        """Whether the reference is a model of its own that a reset or TRL can have changed by now."""
        every = getattr(self.args, "reset_steps", None), self.args.sync_ref_model and self.args.ref_model_sync_steps
        first = min((steps for steps in every if steps), default=math.inf)
        return self.ref_model is not None and not self._is_sharded and self.state.global_step >= first

    def _save_checkpoint(self: Any, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)  # type: ignore[misc]
        if self._moves_reference() and self.args.should_save:
            folder = Path(self._get_output_dir(trial=trial), f"checkpoint-{self.state.global_step}", FOLDER)
            self.ref_model.save_pretrained(folder)

    def _load_from_checkpoint(self: Any, resume_from_checkpoint: str, model: Any = None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)  # type: ignore[misc]
        folder = Path(resume_from_checkpoint, FOLDER)
        if self.ref_model is not None and folder.is_dir():
            saved = type(self.ref_model).from_pretrained(folder, dtype=self.ref_model.dtype)
            SyncRefModelCallback.sync_target_model(saved.to(self.ref_model.device), self.ref_model, 1.0)


class _Resetting(TrainerCallback):
    """Resets after every `steps` updates, before the checkpoint of that step is written."""

    def __init__(self, trainer: Any, steps: int) -> None:
        self.trainer, self.steps = trainer, steps

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step % self.steps == 0:
            self.trainer._reset()
