"""Attacks of programs on other rows, the trainer and the machine; each must fail under every backend there is."""

import os
import shutil
import subprocess
import sys
import sysconfig
import threading
from pathlib import Path

import pytest

from trl_rlsp.verification import Limits, verify_code

pytestmark = pytest.mark.red_team
SMALL = Limits(seconds=5.0, memory_mb=64, output_bytes=100_000)
PLAIN = "```python\nprint(int(input()) + 1)  # {}\n```"
TEST = [{"input": "1", "output": "2"}]


LEASES = """
import fcntl, os, signal, sys, time
signal.signal(signal.SIGIO, signal.SIG_IGN)
kept = []
for name in ("random", "datetime", "decimal", "csv"):
    file = os.open(f"{os.path.dirname(os.__file__)}/{name}.py", os.O_RDONLY)
    for command, kind in ((fcntl.F_SETLEASE, fcntl.F_WRLCK), (fcntl.F_SETLEASE, fcntl.F_RDLCK), (fcntl.F_NOTIFY, 1)):
        try:
            fcntl.fcntl(file, command, kind)
            kept.append(name)
        except OSError:
            pass
print(kept, flush=True)
time.sleep(1)
"""


def test_no_lease_on_the_standard_library(sandbox):
    attacker = threading.Thread(target=sandbox.run, args=(LEASES, "", SMALL))
    attacker.start()
    honest = "```python\nimport random, datetime, decimal, csv\nprint(int(input()) + 1)\n```"
    assert verify_code([(honest, TEST)], workers=1, sandbox=sandbox)[0].score == 1.0
    attacker.join()
    assert sandbox.run(LEASES, "", SMALL).stdout == b"[]\n"


THREADS = """
import os, threading
threading.stack_size(32768)
stay, started = threading.Event(), 0
try:
    while started < 300:
        threading.Thread(target=stay.wait, daemon=True).start()
        started += 1
except RuntimeError:
    pass
print(started, flush=True)
os._exit(0)
"""

# x86-64 code of a loop: start a thread by a bare system call, with a stack of 256 bytes; each fills socket pairs.
# Arguments: threads, top of the stacks, pairs, a buffer. The flags of clone are in the places of {}.
MACHINE_CODE = (
    "5341544155415641574889fb4989f44989d54989ce4531ffb838000000bf{}81e7{}81cf000901004981ec000100004c89e631d24531d2"
    "4531c00f054885c07417780849ffc748ffcb75c74c89f8415f415e415d415c5bc34d85ed747549ffcd4883ec10b835000000bf01000000"
    "be0108000031d24989e20f054885c07853448b24248b5c2404b82c0000004489e74c89f6ba0000020041ba400000004531c04531c90f05"
    "4885c079ddb82c00000089df4c89f6ba0000020041ba400000004531c04531c90f054885c079de4883c410eb86b8220000000f05ebf7"
)
OWN_FILES, AS_PTHREAD_CREATE = ("000b0500", "fffbffff"), ("000f3d00", "ffffffff")
BARE_THREADS = """
import ctypes, mmap, os, time
count, pairs = map(int, input().split())
code = mmap.mmap(-1, 4096, prot=7)
code.write(bytes.fromhex("{code}"))
at = ctypes.addressof(ctypes.c_char.from_buffer(code))
stacks = mmap.mmap(-1, 256 * count + 4096)
top = ctypes.addressof(ctypes.c_char.from_buffer(stacks)) + 256 * count + 2048
buffer = mmap.mmap(-1, 131072)
attack = ctypes.CFUNCTYPE(ctypes.c_long, *[ctypes.c_long] * 4)(at)
print(attack(count, top, pairs, ctypes.addressof(ctypes.c_char.from_buffer(buffer))), flush=True)
time.sleep(0.3)
os._exit(0)
"""


def bare_threads(flags):
    return BARE_THREADS.format(code=MACHINE_CODE.format(*flags))


def kernel_megabytes():
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return sum(int(lines[name].split()[0]) for name in ("SUnreclaim", "KernelStack")) // 1024


def test_threads_are_counted(sandbox):
    started = int(sandbox.run(THREADS, "", Limits(5.0, 512)).stdout)
    assert 8 <= started <= 64


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="machine code")
@pytest.mark.parametrize(("flags", "most"), [(OWN_FILES, 0), (AS_PTHREAD_CREATE, 64)])
@pytest.mark.parametrize("request_", ["300 0", "60 30"])
def test_bare_threads_hold_little_kernel_memory(sandbox, flags, most, request_):
    # With a file table for each thread 60 threads x 30 pairs would hold 60 x 30 x 0.4 MB = 720 MB.
    before = kernel_megabytes()
    result = sandbox.run(bare_threads(flags), request_, SMALL)
    assert result.status == "killed" or int(result.stdout) <= most
    assert kernel_megabytes() - before < 100


def test_open_files_bound_what_pipes_and_socket_pairs_hold(sandbox):
    program = (
        "import socket, fcntl, os\nheld, kept = 0, []\ntry:\n  while True:\n    pair = socket.socketpair()\n"
        "    kept.append(pair)\n    for end in pair:\n      end.setblocking(False)\n      try:\n"
        "        while True: held += end.send(b'x' * 131072)\n      except BlockingIOError: pass\n"
        "except OSError: print(len(kept), held)"
    )
    pairs, held = map(int, sandbox.run(program, "", SMALL).stdout.split())
    assert pairs <= 32
    assert held <= 32 << 20


@pytest.mark.parametrize(
    "action", ["os.memfd_create('x')", "fcntl.fcntl(os.pipe()[0], 1031, 1 << 20)", "os.mkfifo('/x')"]
)
def test_no_memory_outside_the_limit(sandbox, action):
    program = f"import fcntl, os\ntry:\n  {action}\n  print('done')\nexcept (OSError, AttributeError): print('refused')"
    assert sandbox.run(program, "", SMALL).stdout == b"refused\n"


PACKAGES = """
import os, sys
found = []
folder = os.path.dirname(os.__file__)
places = [f"{folder}/site-packages", f"{folder}/dist-packages", "/usr/lib/python3/dist-packages", "/usr/lib/os-release",
          "/usr/local/lib", "/usr/lib", "/root", "/home", folder, "/usr/share", "/etc", "/opt", "/srv", "/dev/shm"]
for place in places:
    try:
        found.append((place, os.listdir(place) if os.path.isdir(place) else open(place).read()))
    except OSError:
        pass
print([place for place, content in found if content])
sys.path += places
try:
    import pip
    print("imported", pip)
except ImportError:
    print("no pip")
"""


def test_nothing_but_the_standard_library_can_be_read(sandbox):
    lines = sandbox.run(PACKAGES, "", SMALL).stdout.decode().splitlines()
    seen = [] if sandbox.backend == "landlock" else [place for place in ("/etc",) if place in lines[0]]
    assert lines == [str(seen), "no pip"]


def test_the_standard_library_is_whole(sandbox):
    names = sorted(name for name in sys.stdlib_module_names if not name.startswith("_"))
    left_out = {
        "antigravity",
        "this",
        "idlelib",
        "tkinter",
        "turtle",
        "turtledemo",
        "ensurepip",
        "lib2to3",
        "pydoc_data",
    }
    program = (
        "import importlib\nmissing = []\n"
        f"for name in {[name for name in names if name not in left_out]}:\n"
        "  try: importlib.import_module(name)\n  except ImportError as e: missing.append(name)\nprint(missing)"
    )
    here = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, check=True).stdout
    assert sandbox.run(program, "", Limits(30.0, 1024)).stdout == here


BOMB = f"```python\n{bare_threads(AS_PTHREAD_CREATE).replace('map(int, input().split())', '300, 0')}\n```"


@pytest.mark.parametrize("bomb", [BOMB, f"```python\n{THREADS}\n```", f"```python\n{LEASES}\n```"])
def test_right_rows_beside_an_attacker_keep_their_score(sandbox, bomb):
    rows = [(bomb, TEST), *[(PLAIN.format(i), TEST) for i in range(6)], (bomb + " ", TEST)]
    scores = [verdict.score for verdict in verify_code(rows, workers=4, sandbox=sandbox)]
    assert scores == [0.0, *[1.0] * 6, 0.0]


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="becomes another user, which takes root")
def test_threads_do_not_use_up_an_ordinary_users_processes():
    script = (
        "import sys, threading; sys.path.insert(0, sys.argv[1])\n"
        "from test_program_attacks import BOMB, PLAIN, TEST, LocalSandbox, verify_code\n"
        "with LocalSandbox('landlock') as box:\n"
        "  attacker = threading.Thread(target=verify_code, args=([(BOMB, TEST)] * 4,), kwargs={'sandbox': box})\n"
        "  attacker.start()\n"
        "  rows = [(PLAIN.format(i), TEST) for i in range(6)]\n"
        "  print([v.score for v in verify_code(rows, workers=4, sandbox=box)])\n"
        "  attacker.join()\n"
    )
    user = ["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=+dac_read_search"]
    command = ["setpriv", *user, "--ambient-caps=+dac_read_search", "prlimit", "--nproc=300", sys.executable, "-c"]
    source = str(Path(__file__).parents[2] / "src")
    run = subprocess.run(
        [*command, script, str(Path(__file__).parent)],
        env={"PYTHONPATH": f"{source}:{sysconfig.get_path('purelib')}", "PATH": os.environ["PATH"]},
        capture_output=True, text=True, timeout=60, check=False, cwd="/",
    )  # fmt: skip
    assert run.stdout == f"{[1.0] * 6}\n", run.stderr
