"""Where the processes of the soak come from: forked, as a start of Python for each costs more than all it then asks for.

Started as `nursery.py TRUST`, by root. A line of standard input asks for something: `start SLOT UID LABEL SEED PAUSE`
(a process of that user and label), `kill SLOT`. Processes and nursery write JSON lines to the same pipe, each in one
write; the nursery says `{"ended": SLOT, "how": ...}`. When standard input ends, so does that of all processes, and the
nursery ends after the last of them.
"""

import json
import os
import select
import signal
import sys

import workload

living = {}  # slot by pid


def tell(**what):
    os.write(1, (json.dumps(what) + "\n").encode())


def start(slot, uid, label, seed, pause):
    child = os.fork()
    if child:
        living[child] = slot
        return
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.dup2(lasting, 0)
        for descriptor in (lasting, ending, woken, waking):
            os.close(descriptor)
        os.setgroups([])
        os.setresgid(*[int(uid)] * 3)
        os.setresuid(*[int(uid)] * 3)
        workload.work(label, f"p{slot}", seed, pause)
        status = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(status)


def kill(slot):
    # Not reaped yet, so the pid is still theirs.
    for pid, held in living.items():
        if held == slot:
            os.kill(pid, signal.SIGKILL)


def reap():
    while living:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        tell(ended=int(living.pop(pid)), how=os.waitstatus_to_exitcode(status))


lasting, ending = os.pipe()  # standard input of all processes
woken, waking = os.pipe()
os.set_blocking(waking, False)
signal.set_wakeup_fd(waking)
signal.signal(signal.SIGCHLD, lambda *_: None)
workload.trust_in(sys.argv[1])
asked, rest = True, b""
while asked or living:
    ready, _, _ = select.select([woken] + [0] * asked, [], [])
    if woken in ready:
        os.read(woken, 4096)
        reap()
    if 0 in ready:
        data = os.read(0, 65536)
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            command, *arguments = line.decode().split()
            {"start": start, "kill": kill}[command](*arguments)
        if not data:
            asked = False
            os.close(ending)
