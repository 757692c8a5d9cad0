"""Run a module, and kill it at its write number N: python kill_at.py N FILE -m MODULE ARGUMENTS...

A write is a file that is opened for writing, renamed or removed, a folder that is made or removed, or a program that is
started. The kill comes before it. The writes are listed in FILE.
"""

import os
import runpy
import signal
import sys

WRITES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.symlink", "os.link", "subprocess.Popen"}
last, file = int(sys.argv[1]), sys.argv[2]
writes: list[str] = []


def hook(event: str, arguments: tuple) -> None:
    opened = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
    if event in WRITES or opened:
        writes.append(f"{event} {arguments[0]} {arguments[1]}")
        if len(writes) == last:
            os.kill(os.getpid(), signal.SIGKILL)


module, sys.argv = sys.argv[4], [sys.argv[4], *sys.argv[5:]]
sys.dont_write_bytecode = True
sys.addaudithook(hook)
try:
    runpy.run_module(module, run_name="__main__", alter_sys=True)
finally:
    told = "\n".join(writes)
    last = -1
    with open(file, "w", encoding="utf-8") as log:
        log.write(told)
