"""What the installed accelerate makes of the project's launch configurations, and a launch over two nodes."""

from __future__ import annotations

from pathlib import Path

import pytest
from accelerate import DeepSpeedPlugin, FullyShardedDataParallelPlugin
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils import patch_environment
from accelerate.utils.launch import prepare_deepspeed_cmd_env, prepare_multi_gpu_env

ACCELERATE = Path(__file__).parent.parent.parent / "recipes" / "accelerate"
FILES = sorted(path.stem for path in ACCELERATE.glob("*.yaml") if path.stem != "recipe")


def launched(name, *arguments):
    """(arguments as the launcher completes them from the file, environment of the ranks)."""
    given = ["--config_file", str(ACCELERATE / f"{name}.yaml"), *arguments, "-m", "trl_rlsp", "grpo"]
    read, file, _ = _validate_launch_command(launch_command_parser().parse_args(given))
    if not read.use_deepspeed:
        return read, prepare_multi_gpu_env(read)
    read.deepspeed_fields_from_accelerate_config = ",".join(file.deepspeed_config)
    return read, prepare_deepspeed_cmd_env(read)[1]


def test_these_are_all():
    assert FILES == ["cpu", "ddp", "fsdp", "two_nodes", "zero3"]


@pytest.mark.parametrize(
    ("name", "processes", "precision"),
    [("cpu", 2, "no"), ("ddp", 8, "bf16"), ("fsdp", 8, "bf16"), ("two_nodes", 16, "bf16"), ("zero3", 8, "bf16")],
)
def test_processes_and_precision(name, processes, precision):
    read, environment = launched(name, "--main_process_ip", "127.0.0.1", "--main_process_port", "0")
    assert read.num_processes == processes
    assert (read.multi_gpu, read.use_fsdp, read.use_deepspeed) == (
        name in ("cpu", "ddp", "two_nodes"),
        name == "fsdp",
        name == "zero3",
    )
    assert environment["ACCELERATE_MIXED_PRECISION"] == precision


@pytest.mark.parametrize("name", ["ddp", "fsdp", "zero3"])
def test_the_override_of_the_header(name):
    text = (ACCELERATE / f"{name}.yaml").read_text(encoding="utf-8")
    added = ("--num_processes", "4") if name != "zero3" else ("--offload_optimizer_device", "cpu")
    assert " ".join(added) in text
    read, environment = launched(name, *added)
    if name == "zero3":
        assert environment["ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE"] == "cpu"
    else:
        assert read.nproc_per_node == "4"


def test_fsdp_is_version_2_in_full_shards():
    with patch_environment(**launched("fsdp")[1]):
        plugin = FullyShardedDataParallelPlugin()
    assert (plugin.fsdp_version, plugin.reshard_after_forward, plugin.cpu_ram_efficient_loading) == (2, True, True)
    assert plugin.auto_wrap_policy.__name__ == "transformer_auto_wrap_policy"


def test_zero_is_stage_3_and_saves_what_can_be_loaded():
    with patch_environment(**launched("zero3")[1]):
        plugin = DeepSpeedPlugin()
    assert (plugin.zero_stage, plugin.zero3_init_flag, plugin.zero3_save_16bit_model) == (3, True, True)
    assert plugin.deepspeed_config["zero_optimization"]["stage"] == 3


@pytest.mark.parametrize("rank", [0, 1])
def test_each_of_two_nodes(rank):
    """accelerate takes `rdzv_backend` and `same_network` from the command line alone, so the file has its defaults."""
    place = ["--main_process_ip", "10.0.0.1", "--main_process_port", "29672", "--machine_rank", str(rank)]
    read, _ = launched("two_nodes", *place)
    assert (read.nnodes, read.nproc_per_node, read.node_rank) == ("2", "8", rank)
    assert (read.rdzv_endpoint, read.rdzv_backend) == ("10.0.0.1:29672", "static")


WHO = """
import torch.distributed as dist
from accelerate import PartialState
state = PartialState(cpu=True)
ranks = [None] * state.num_processes
dist.all_gather_object(ranks, (state.process_index, state.local_process_index))
if state.is_main_process:
    print("ranks:", ranks)
state.destroy_process_group()
"""


@pytest.mark.slow
def test_two_launchers_find_each_other(launch, tmp_path):
    """Two nodes played by one machine, with the file and the line of its header."""
    (tmp_path / "who.py").write_text(WHO)
    place = ["--main_process_ip", "127.0.0.1", "--main_process_port", "29671", "--num_processes", "4"]
    place += ["--mixed_precision", "no"]
    nodes = [
        launch(*place, "--machine_rank", rank, "who.py", cwd=tmp_path, config=ACCELERATE / "two_nodes.yaml")
        for rank in (0, 1)
    ]
    shown = [node.communicate(timeout=120)[0] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], shown
    assert "ranks: [(0, 0), (1, 1), (2, 0), (3, 1)]" in shown[0]
