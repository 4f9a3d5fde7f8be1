"""vLLM rollouts of a LoRA adapter that is never merged: the base stays in vLLM, and only the adapter is sent.

TRL merges the adapter into the base and sends every weight before each generation. Merging into a 4-bit base rounds the
update, and sending a 32B model moves 64 GB where its adapter takes 0.5 GB.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from trl.generation import vllm_generation
from trl.generation.vllm_generation import VLLMGeneration
from trl.trainer import grpo_trainer

from trl_rlsp.errors import ServerError
from trl_rlsp.generation.vllm import served_rank

log = logging.getLogger(__name__)

HIGHEST_RANK = 512


def why_merged(model: Any, sharded: bool = False) -> str | None:
    """Why TRL has to merge the trained weights before vLLM can sample, or `None` if sending the adapter is enough."""
    if not getattr(model, "peft_config", None):
        return "no adapter is trained"
    config = _trained(model)
    reasons = {
        f"vLLM takes LoRA adapters, not {getattr(config.peft_type, 'value', config.peft_type)}": (
            config.peft_type != "LORA"
        ),
        "vLLM does not take DoRA": getattr(config, "use_dora", False),
        "modules_to_save are not part of a LoRA request": getattr(config, "modules_to_save", None),
        "vLLM does not take the biases of an adapter": getattr(config, "bias", "none") != "none",
        "target_parameters are not layers of their own": getattr(config, "target_parameters", None),
        f"rank {getattr(config, 'r', 0)} is above vLLM's {HIGHEST_RANK}": getattr(config, "r", 0) > HIGHEST_RANK,
        "FSDP and DeepSpeed shard the adapter": sharded,
    }
    return next((reason for reason, applies in reasons.items() if applies), None)


def _trained(model: Any) -> Any:
    """The configuration of the active adapter, which is trained, saved and sent."""
    return model.peft_config[model.active_adapter]


@contextmanager
def adapter_alone() -> Iterator[None]:
    """A TRL trainer built inside this context sends only its adapter to vLLM if possible; otherwise it merges."""
    with mock.patch.object(grpo_trainer, "VLLMGeneration", _generation):
        yield


def _generation(model: Any, accelerator: Any, *args: Any, **kwargs: Any) -> VLLMGeneration:
    reason = why_merged(model, accelerator.distributed_type in ("FSDP", "DEEPSPEED"))
    if reason and getattr(model, "peft_config", None):
        log.warning("vLLM gets merged weights, as TRL sends them: %s", reason)
    return (VLLMGeneration if reason else AdapterGeneration)(model, accelerator, *args, **kwargs)


class AdapterGeneration(VLLMGeneration):
    """TRL's vLLM backend with a `sync_weights` that sends the adapter as a LoRA request with a new number.

    In colocate mode, vLLM keeps its weights while it sleeps (level 1), since nothing sends them again. A server must be
    started with `--enable-lora` and `VLLM_ALLOW_RUNTIME_LORA_UPDATING=1`, and must see the folder of temporary files.
    """

    model: Any
    _number = 0
    _request: Any = None

    def _init_vllm(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="rlsp-adapter-")
        if self.mode == "server":
            with mock.patch.object(vllm_generation.VLLMClient, "init_communicator"):  # nothing is broadcast
                return super()._init_vllm()
        with mock.patch.object(vllm_generation, "LLM", self._engine):
            super()._init_vllm()

    def _engine(self, **settings: Any) -> Any:
        """vLLM's engine with room for the adapter, in the trainer's compute type."""
        from vllm import LLM

        room = served_rank(_trained(self.model).r)
        dtype = str(self.model.get_base_model().dtype).removeprefix("torch.")
        engine = LLM(enable_lora=True, max_lora_rank=room, max_loras=1, dtype=dtype, **settings)
        generate, sleep = engine.generate, engine.sleep
        engine.generate = lambda *args, **kwargs: generate(*args, lora_request=self._request, **kwargs)
        engine.sleep = lambda level=1, **kwargs: sleep(level=1, **kwargs)
        return engine

    def sync_weights(self) -> None:
        """Send the current adapter."""
        if self.mode == "colocate" and self.enable_sleep_mode:
            self.llm.wake_up(tags=["weights"])
            self._llm_weights_sleeping = False
        self._number += 1
        name = f"adapter-{self._number}"
        if self.mode == "colocate" or self.accelerator.is_main_process:
            path = Path(self._folder.name, name)
            self.model.save_pretrained(str(path), selected_adapters=[self.model.active_adapter])
            self._load(name, str(path))

    def _load(self, name: str, path: str) -> None:
        if self.mode == "server":
            return self._load_on_server(name, path)
        from vllm.lora.request import LoRARequest

        if self._request is not None:
            self.llm.llm_engine.remove_lora(self._request.lora_int_id)
        self._request = LoRARequest(name, self._number, path)

    def _load_on_server(self, name: str, path: str) -> None:
        client = self.vllm_client
        request = {"lora_name": name, "lora_path": path}
        answer = client.session.post(f"{client.base_url}/v1/load_lora_adapter", json=request)
        if answer.status_code != 200:
            raise ServerError(
                f"the vLLM server at {client.base_url} does not load the adapter {path} ({answer.status_code}: "
                f"{answer.text[:200]}); start it with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=1 where it "
                "sees that folder, or set vllm_adapter: false"
            )
        if self._number > 1:
            before = {"lora_name": client.model}
            client.session.post(f"{client.base_url}/v1/unload_lora_adapter", json=before)
        client.model = name
