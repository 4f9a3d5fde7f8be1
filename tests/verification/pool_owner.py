"""A program that owns a pool, for tests that end it in every way a program can end. Prints its processes' ids."""

import os
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(__file__))

from trl_rlsp.verification import WorkerPool

if __name__ == "__main__":
    how = sys.argv[1]
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it is ignored, and the test sends it
    pool = WorkerPool("pool_handlers:misbehave", workers=2)
    pids = [reply.value for reply in pool.run(["pid, after a while"] * 2, limit=20)]
    print(os.getpid(), pool._server.process.pid, *sorted(set(pids)), flush=True)
    if how == "close":
        pool.close()
        print("closed", flush=True)
        time.sleep(60)
    elif how == "busy":
        threading.Thread(target=lambda: pool.run(["hang in C"] * 2, limit=60), daemon=True).start()
        time.sleep(60)
    elif how == "wait":
        time.sleep(60)
