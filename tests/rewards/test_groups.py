"""Groups: their identity, and that they are whole when they are split over processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trl_rlsp.errors import ConfigError
from trl_rlsp.rewards.batch import gather_members, gather_ranks, group_keys

KEYS = st.lists(st.sampled_from("abc"), max_size=10)


class Pixels:
    """Something with bytes, as an image in a prompt has."""

    def __init__(self, content):
        self.content = content

    def tobytes(self):
        return self.content


class TestKeys:
    def test_the_prompt_decides(self):
        one, two, again = group_keys(["1 + 2", "3 + 4", "1 + 2"], {})
        assert one == again != two
        assert len(one) == 32

    @pytest.mark.parametrize("column", ["tests", "task", "solution"])
    def test_each_problem_column_is_part_of_it(self, column):
        keys = group_keys(["p"] * 3, {column: ["1", "2", "1"]})
        assert keys[0] == keys[2] != keys[1]

    def test_other_columns_are_not(self):
        one, two = group_keys(["p", "p"], {"level": [1, 2], "completion_ids": [[1], [2]], "trainer_state": None})
        assert one == two

    def test_messages_by_their_content(self):
        first = [{"role": "user", "content": "1 + 2"}]
        same = [{"content": "1 + 2", "role": "user"}]
        other = [{"role": "system", "content": "1 + 2"}]
        keys = group_keys([first, same, other], {})
        assert keys[0] == keys[1] != keys[2]

    def test_images_by_their_bytes(self):
        prompts = [[{"role": "user", "content": [{"image": Pixels(content)}]}] for content in (b"1", b"1", b"2")]
        keys = group_keys(prompts, {})
        assert keys[0] == keys[1] != keys[2]

    def test_a_column_is_not_mistaken_for_a_longer_prompt(self):
        assert group_keys(["p, 1"], {}) != group_keys(["p"], {"solution": ["1"]})

    def test_equal_in_another_process_with_another_hash_seed(self):
        code = (
            "from trl_rlsp.rewards.batch import group_keys; print(group_keys(['ü', '1'], {'tests': [{'a', 'b'}, 2]}))"
        )
        shown = {
            subprocess.run(
                [sys.executable, "-c", code],
                env={**os.environ, "PYTHONHASHSEED": seed},
                capture_output=True,
                text=True,
                check=True,
            ).stdout.strip()
            for seed in ("1", "2")
        }
        assert shown == {str(group_keys(["ü", "1"], {"tests": [{"b", "a"}, 2]}))}

    def test_no_prompts(self):
        with pytest.raises(ConfigError, match="a group is the completions of one prompt, got no prompts"):
            group_keys(None, {"solution": ["1"]})

    def test_a_column_of_another_length(self):
        with pytest.raises(ConfigError, match="2 prompts need 2 values in each column, got 1"):
            group_keys(["p", "q"], {"solution": ["1"]})


class TestOneProcess:
    def test_by_hand(self):
        keys, values = ["a", "b", "a", "c"], [1, 2, 3, 4]
        assert gather_members(keys, values) == [([1, 3], 0), ([2], 0), ([1, 3], 1), ([4], 0)]
        assert gather_ranks(values) == (0, [values])

    @given(KEYS)
    def test_each_finds_itself_at_its_position(self, keys):
        members = gather_members(keys, list(range(len(keys))))
        assert [member.values[member.position] for member in members] == list(range(len(keys)))
        assert [len(member.values) for member in members] == [keys.count(key) for key in keys]

    @given(KEYS, KEYS)
    def test_neighbours_change_nothing(self, keys, others):
        beside = [key.upper() for key in others]
        alone = gather_members(keys, list(range(len(keys))))
        assert gather_members(keys + beside, list(range(len(keys) + len(beside))))[: len(keys)] == alone

    def test_values_of_another_number(self):
        with pytest.raises(ValueError, match="zip"):
            gather_members(["a", "b"], [1])


TWO_RANKS = """
import json, sys
import torch.distributed as dist
from trl_rlsp.rewards.batch import gather_members

rank, store = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
keys, values = [["a", "a", "b"], ["b", "c", "b", "a"]][rank], [[1, 2, 3], [4, 5, 6, 7]][rank]
print(json.dumps([*zip(*gather_members(keys, values)), gather_members(keys[rank:rank], [])]))
dist.destroy_process_group()
"""


def run_ranks(code, tmp_path, *arguments, count=2):
    """What `count` processes that run `code` print; each gets its rank and the file where they meet."""
    store = tmp_path / "store"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path[1:], str(Path(__file__).parent)])}
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(rank), str(store), *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]
    try:
        ended = [process.communicate(timeout=300) for process in running]
    finally:
        for process in running:
            process.kill()
    for process, (_, errors) in zip(running, ended, strict=True):
        assert process.returncode == 0, errors
    return [output.strip().splitlines()[-1] for output, _ in ended]


def test_two_processes_see_whole_groups(tmp_path):
    # a: 1, 2 on the first rank, 7 on the second; b: 3 | 4, 6; c: | 5
    a, b, c = [1, 2, 7], [3, 4, 6], [5]
    first, second = run_ranks(TWO_RANKS, tmp_path)
    assert first == f"[{[a, a, b]}, [0, 1, 0], []]"
    assert second == f"[{[b, c, b, a]}, [1, 0, 2, 2], []]"
