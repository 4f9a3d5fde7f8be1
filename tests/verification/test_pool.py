"""Worker pool: limits, isolation, repair and death, with real processes and real signals."""

import multiprocessing
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from trl_rlsp.errors import ConfigError, WorkerError
from trl_rlsp.verification import Reply, WorkerPool

HERE = Path(__file__).parent
LIMIT = 0.5
SLACK = 15  # seconds over the limit that a call may take on a busy machine; what hangs, hangs for longer


@pytest.fixture(autouse=True, scope="module")
def _handlers_are_importable():
    sys.path.insert(0, str(HERE))
    yield
    sys.path.remove(str(HERE))


@pytest.fixture(scope="module")
def pool():
    with WorkerPool("pool_handlers:misbehave", workers=2) as pool:
        yield pool


def outcomes(pool, items, **options):
    return [reply.outcome for reply in pool.run(items, **({"limit": LIMIT} | options))]


def alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def gone_within(pids, seconds):
    ends = time.monotonic() + seconds
    while any(alive(pid) for pid in pids) and time.monotonic() < ends:
        time.sleep(0.02)
    return [pid for pid in pids if alive(pid)]


def test_values_come_back_in_order(pool):
    items = [*range(50), {"a": [1, None, "\ud800"]}]
    assert [reply.value for reply in pool.run(items, limit=5)] == items


def test_nothing_to_do(pool):
    assert pool.run([], limit=1) == []


@pytest.mark.parametrize(
    ("item", "outcome"),
    [
        ("hang", "timeout"),
        ("sleep", "timeout"),
        ("hang in C", "timeout"),
        ("die", "crash"),
        ("memory", "crash"),
        ("recursion", "crash"),
        ("flood", "crash"),
        ("raise", "error"),
    ],
)
def test_one_bad_item_changes_no_other(pool, item, outcome):
    pool.run([0], limit=5)
    started = time.monotonic()
    replies = pool.run([1, item, 2, 3, 4, 5], limit=LIMIT)
    assert time.monotonic() - started < LIMIT + SLACK
    assert [reply.outcome for reply in replies] == ["value", outcome, "value", "value", "value", "value"]
    assert pool.run([6], limit=5) == [Reply("value", 6)]


def test_an_error_carries_its_text(pool):
    assert pool.run(["raise"], limit=5) == [Reply("error", "ValueError: said so")]


def test_only_the_stuck_worker_is_replaced(pool):
    stuck, *others = pool.run(["hang", *["pid, of the other"] * 20], limit=LIMIT)  # longer items go later
    after = {reply.value for reply in pool.run(["pid"] * 20, limit=5)}
    assert stuck.outcome == "timeout"
    assert {reply.value for reply in others} & after


def test_slow_items_share_what_the_others_leave(pool, caplog):
    # Two workers, 1.6 s, limit 0.5 s: not enough for six slow items. Each first gets a slice of 0.0625 s, the short
    # ones before the long ones; what is left then is shared: about 0.3 s each.
    pool.run([0], limit=5)
    found = outcomes(pool, ["hang in C"] * 6 + [*range(20), "a" * 1000], deadline=1.6)
    assert found == ["timeout"] * 6 + ["value"] * 21
    assert caplog.records[-1].getMessage().startswith("0 of 27 answers were not checked in the batch's time")


def test_the_batch_has_one_deadline(pool, caplog):
    pool.run([0], limit=5)
    found = outcomes(pool, ["sleep"] * 40, limit=30, deadline=1.0)
    assert set(found) == {"not_run"}  # a share of 0.05 s is less than the least an item is judged by: 30 / 8 s
    assert caplog.records[-1].getMessage().startswith("40 of 40 answers were not checked")
    assert outcomes(pool, [1, 2]) == ["value", "value"]


def test_each_item_may_have_a_process_of_its_own(pool):
    pids = [reply.value for reply in pool.run(["pid"] * 12, limit=5, fresh=True)]
    assert len(set(pids)) == 12
    assert gone_within(pids, 5) == []


@pytest.mark.parametrize(
    "line", ['[[["not a reply"]\n', '{"value": 1}\n', '{"value": 1, "nonce": "0"}\n{"value": 1}\n', "7\n"]
)
def test_a_forged_reply_counts_for_nobody(line):
    with WorkerPool("pool_handlers:forge", workers=1) as forgers:
        replies = forgers.run([{"line": line}, {"line": ""}, {"line": ""}], limit=5)
    assert [reply.outcome for reply in replies] == ["crash", "value", "value"]
    assert [reply.value for reply in replies[1:]] == [{"line": ""}] * 2


def test_workers_have_no_rights(tmp_path):
    secret = tmp_path / "tests.json"
    secret.write_text("42")
    with socket.create_server(("127.0.0.1", 0)) as server, WorkerPool("pool_handlers:reach_out", workers=1) as pool:
        item = {"file": str(secret), "port": server.getsockname()[1], "pid": os.getpid()}
        worked = pool.run([item], limit=5)[0].value
    if not Path("/sys/kernel/security/landlock").exists() and worked:
        pytest.skip(f"this kernel has no Landlock; left open: {worked}")
    assert worked == []


def test_workers_do_not_see_the_environment(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "secret")
    with WorkerPool("pool_handlers:misbehave", workers=1) as pool:
        assert "HF_TOKEN" not in pool.run(["environment"], limit=5)[0].value


def test_prepare_reaches_all_workers_once():
    with WorkerPool("pool_handlers:misbehave", workers=2) as pool:
        pool.run([1], limit=5)
        pool.prepare("a")
        pool.prepare("b")
        pool.prepare("a")
        pool.run(["die"], limit=5)
        assert [reply.value for reply in pool.run(["prepared"] * 4, limit=5)] == [["a", "b"]] * 4


def test_workers_killed_from_outside_are_replaced(pool):
    for reply in pool.run(["pid"] * 20, limit=5):
        os.kill(reply.value, signal.SIGKILL) if alive(reply.value) else None
    time.sleep(0.1)
    assert pool.run([1, 2, 3, 4], limit=5) == [Reply("value", n) for n in (1, 2, 3, 4)]


def test_the_pool_survives_the_death_of_its_server(pool):
    pool.run([1], limit=5)
    os.killpg(pool._server.process.pid, signal.SIGKILL)
    time.sleep(0.1)
    assert pool.run([1, 2, 3], limit=5) == [Reply("value", n) for n in (1, 2, 3)]


def test_death_of_the_server_during_a_batch(pool):
    pool.run([1], limit=5)
    killer = threading.Timer(0.3, os.kill, (pool._server.process.pid, signal.SIGKILL))
    killer.start()
    assert outcomes(pool, ["sleep", 1, 2], limit=1.0) == ["timeout", "value", "value"]


def test_an_interrupt_leaves_no_stuck_worker(pool):
    before = {reply.value for reply in pool.run(["pid"] * 20, limit=5)}

    def interrupt(*_):
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with pytest.raises(KeyboardInterrupt):
            pool.run(["hang", "hang"], limit=30)
    finally:
        signal.signal(signal.SIGALRM, previous)
    assert len(gone_within(before, 2)) <= 1  # an idle one
    assert pool.run([1, 2, 3], limit=5) == [Reply("value", n) for n in (1, 2, 3)]


def test_threads_share_the_pool(pool):
    results = {}

    def check(n):
        results[n] = [reply.value for reply in pool.run([n, n + 1], limit=5)]

    threads = [threading.Thread(target=check, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert results == {n: [n, n + 1] for n in range(8)}


def test_hanging_item_off_the_main_thread(pool):
    pool.run([1], limit=5)
    found = []
    thread = threading.Thread(target=lambda: found.extend(outcomes(pool, ["hang in C", 1])))
    started = time.monotonic()
    thread.start()
    thread.join(10)
    assert found == ["timeout", "value"]
    assert time.monotonic() - started < LIMIT + SLACK


def _child(pool, connection):
    pool.start()
    pool.run([0], limit=20)
    started = time.monotonic()
    found = [reply.outcome for reply in pool.run([1, "hang in C", 2], limit=LIMIT)]
    connection.send((found, time.monotonic() - started, [reply.value for reply in pool.run(["pid"] * 9, limit=5)]))
    pool.close()


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_child_process_starts_its_own_workers(pool, method):
    own = {reply.value for reply in pool.run(["pid"] * 9, limit=5)}
    context = multiprocessing.get_context(method)
    here, there = context.Pipe()
    child = context.Process(target=_child, args=(pool, there))
    child.start()
    assert here.poll(60)
    found, seconds, pids = here.recv()
    child.join(10)
    assert found == ["value", "timeout", "value"]
    assert seconds < LIMIT + SLACK
    assert not own & set(pids)
    assert gone_within(set(pids), 5) == []
    assert {reply.value for reply in pool.run(["pid"] * 9, limit=5)} & own  # the parent's went on


def test_start_does_not_wait(tmp_path, monkeypatch):
    """Neither does closing, for a handler whose import takes a minute."""
    (tmp_path / "slow_to_import.py").write_text("import time\ntime.sleep(60)\n")
    monkeypatch.syspath_prepend(tmp_path)
    pool = WorkerPool("slow_to_import:handler")
    started = time.monotonic()
    pool.start()
    pool.close()
    assert time.monotonic() - started < 30


def test_a_closed_pool_may_be_used_again():
    pool = WorkerPool("pool_handlers:misbehave", workers=1)
    pids = [pool.run(["pid"], limit=5)[0].value]
    pool.close()
    pool.close()
    assert gone_within(pids, 1) == []
    assert pool.run([1], limit=5) == [Reply("value", 1)]
    pool.close()


def test_a_collected_pool_leaves_no_process():
    pool = WorkerPool("pool_handlers:misbehave", workers=1)
    pids = [pool.run(["pid"], limit=5)[0].value, pool._server.process.pid]
    del pool
    assert gone_within(pids, 5) == []


def test_a_pickled_pool_is_one_without_processes(pool):
    copy = pickle.loads(pickle.dumps(pool))
    assert (copy.handler, copy.workers, copy._server) == (pool.handler, pool.workers, None)


@pytest.mark.parametrize("handler", ["no_such_module:f", "pool_handlers:no_such_function"])
def test_a_handler_that_cannot_be_imported(handler):
    with pytest.raises(WorkerError, match="failed to start"):
        WorkerPool(handler).run([1], limit=5)


@pytest.mark.parametrize("options", [{"workers": 0}, {"memory_mb": 1}])
def test_arguments_that_cannot_work(options):
    with pytest.raises(ConfigError, match="a worker pool needs"):
        WorkerPool("pool_handlers:misbehave", **options)


@pytest.mark.parametrize(
    ("how", "end"),
    [
        ("exit", None),
        ("close", None),
        ("wait", signal.SIGINT),
        ("wait", signal.SIGTERM),
        ("wait", signal.SIGKILL),
        ("wait", signal.SIGHUP),
        ("busy", signal.SIGINT),
        ("busy", signal.SIGTERM),
        ("busy", signal.SIGKILL),
    ],
)
def test_no_process_outlives_its_owner(how, end):
    owner = subprocess.Popen(
        [sys.executable, HERE / "pool_owner.py", how], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    pids = [int(word) for word in owner.stdout.readline().split()]
    assert len(pids) >= 4  # itself, the server, two workers
    if how == "close":
        assert owner.stdout.readline() == "closed\n"
        assert [pid for pid in pids[1:] if alive(pid)] == []
        end = signal.SIGKILL
    if end is not None:
        time.sleep(0.2)
        owner.send_signal(end)
    owner.wait(20)
    assert gone_within(pids, 5) == []
    owner.stdout.close()
