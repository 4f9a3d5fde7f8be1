"""vLLM rollouts of an adapter that leave its base as it is.

TRL merges the adapter into the base, sends every weight, and subtracts the adapter again, before each generation. In
half precision the difference is not the base, which drifts (huggingface/trl#6688). Merging into a 4-bit base rounds the
update, and sending a 32B model moves 64 GB where its adapter takes 0.5 GB. So the adapter is sent alone, as a LoRA
request, if vLLM takes it; otherwise copies of single layers are merged.
"""

from __future__ import annotations

import functools
import logging
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

from trl.generation import vllm_generation
from trl.generation.vllm_generation import VLLMGeneration
from trl.trainer import grpo_trainer

from trl_rlsp.errors import ConfigError, ServerError
from trl_rlsp.generation.vllm import served_rank, why_merged
from trl_rlsp.trainers._adapter import is_quantized

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)


def _trained(model: Any) -> Any:
    """The configuration of the active adapter, which is trained, saved and sent."""
    return model.peft_config[model.active_adapter]


@contextmanager
def base_kept(alone: bool = True) -> Iterator[None]:
    """A TRL trainer built inside this context sends vLLM its adapter if possible and `alone`, or else merged copies."""
    with mock.patch.object(grpo_trainer, "VLLMGeneration", functools.partial(_generation, alone)):
        yield


def _generation(alone: bool, model: Any, accelerator: Any, *args: Any, **kwargs: Any) -> VLLMGeneration:
    if not getattr(model, "peft_config", None):
        return VLLMGeneration(model, accelerator, *args, **kwargs)
    config, sharded = _trained(model), accelerator.distributed_type in ("FSDP", "DEEPSPEED")
    if (reason := why_merged(config, sharded=sharded, alone=alone)) is None:
        return AdapterGeneration(model, accelerator, *args, **kwargs)
    hindrances = {
        "prompt learning": config.is_prompt_learning,
        "a quantized base": is_quantized(model),
        "training of tokens": getattr(config, "trainable_token_indices", None),  # TRL sends them under names of PEFT
        # PEFT replaces the data of its weights, which FSDP ignores
        "DoRA under FSDP": getattr(config, "use_dora", False) and accelerator.distributed_type == "FSDP",
    }
    if found := next((name for name, holds in hindrances.items() if holds), None):
        raise ConfigError(f"vLLM needs merged weights ({reason}), which {found} excludes: set use_vllm: false")
    log.warning("vLLM gets merged weights, and the base stays as it is: %s", reason)
    return MergedGeneration(model, accelerator, *args, **kwargs)


class MergedGeneration(VLLMGeneration):
    """TRL's vLLM backend, which sends copies of the adapted weights, merged one at a time."""

    model: Any

    def _iter_named_params(self) -> Iterator[tuple[str, torch.Tensor]]:
        """The names and tensors that TRL sends; the model is never merged while they are."""
        from peft.tuners.tuners_utils import BaseTunerLayer

        if self._dist.is_fsdp:  # a rank has only its part of each weight
            with _restored(self.model.parameters()):
                yield from super()._iter_named_params()
            return
        parameters, layers = {}, defaultdict(list)  # by their address: base weights, and the layers that adapt them

        def find() -> None:  # where TRL merges: ZeRO-3 has gathered the weights
            for layer in self.model.modules():
                for weight in layer.get_base_layer().parameters() if isinstance(layer, BaseTunerLayer) else ():
                    parameters[weight.data_ptr()] = weight
                    layers[weight.data_ptr()].append(layer)

        with mock.patch.multiple(self.model, merge_adapter=find, unmerge_adapter=lambda: None):
            for name, weight in super()._iter_named_params():
                place = weight.data_ptr()
                yield name, _merged(parameters[place], layers[place]) if place in parameters else weight


def _merged(weight: torch.Tensor, layers: list[Any]) -> torch.Tensor:
    """A copy of a base weight, merged with the adapters of its layers, which stay as they are."""
    with _restored(each for layer in layers for each in layer.get_base_layer().parameters()):
        for layer in layers:
            layer.merge()
        found = weight.data.clone()
        for layer in reversed(layers):
            layer.unmerge()
    return found


@contextmanager
def _restored(weights: Iterable[torch.Tensor]) -> Iterator[None]:
    """Give the weights the values on exit, bit for bit, that they had before."""
    before = [(weight, weight.data, weight.data.clone()) for weight in weights]
    try:
        yield
    finally:
        for weight, data, value in before:  # peft changes the data, or replaces it
            weight.data = data.copy_(value)


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
