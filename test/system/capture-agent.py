"""A workload under test: does what the lines of standard input say, one JSON answer a line."""

import ctypes
import errno
import json
import os
import select
import socket
import struct
import sys
import threading
import time

held = []
listening = []
hammered = {}


def family_of(host):
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def open_connection(host, port, mode="plain", timeout=5):
    """`mode` is one of those below, or the device that the socket is bound to."""
    connection = socket.socket(family_of(host), socket.SOCK_STREAM)
    if mode == "nonblocking":
        connection.setblocking(False)
        code = connection.connect_ex((host, port))
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, os.strerror(code))
        select.select([], [connection], [], timeout)
        code = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
    elif mode == "fastopen":
        connection.sendto(b"x", socket.MSG_FASTOPEN, (host, port))
    else:
        if mode != "plain":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, mode.encode())
        connection.connect((host, port))
    connection.settimeout(timeout)
    return connection


def read_all(connection):
    text = b""
    while not text.endswith(b"\n"):
        part = connection.recv(4096)
        if not part:
            break
        text += part
    return text.decode().strip()


def connect(host, port, mode="plain"):
    if mode == "thread":
        box = []
        thread = threading.Thread(target=lambda: box.append(attempt(connect, host=host, port=port)))
        thread.start()
        thread.join()
        return box[0]
    with open_connection(host, port, mode) as connection:
        peer = connection.getpeername()
        return {"peer": f"{peer[0]} {peer[1]}", "text": read_all(connection)}


def hold(host, port):
    connection = open_connection(host, port)
    text = read_all(connection)
    held.append(connection)
    return {"text": text}


def connect_only(host, port, abort):
    """Connects without a word, and resets at once or holds on."""
    connection = open_connection(host, port)
    if abort:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
    else:
        held.append(connection)
    return {}


def drop():
    for connection in held:
        connection.close()
    held.clear()
    return {}


def reuse(host, port):
    """Takes a held connection apart and leads its socket elsewhere; its peer there."""
    connection = held.pop()
    unspecified = struct.pack("H14x", socket.AF_UNSPEC)
    if ctypes.CDLL(None).connect(connection.fileno(), unspecified, len(unspecified)) != 0:
        raise OSError(ctypes.get_errno(), "connect to AF_UNSPEC")
    with connection:
        connection.connect((host, port))
        peer = connection.getpeername()
        return {"peer": f"{peer[0]} {peer[1]}"}


def flood(host, port, count):
    results = {}
    for _ in range(count):
        outcome = attempt(hold, host=host, port=port)
        key = outcome.get("error", "ok")
        results[key] = results.get(key, 0) + 1
    return results


def hammer(host, port):
    """Connects without pause, in the background, until `hammered` asks for the outcomes."""

    def run():
        while hammered["run"]:
            outcome = attempt(connect, host=host, port=port)
            key = outcome.get("error") or outcome["text"].split()[0] if outcome.get("error") or outcome["text"] else "reset"
            hammered["counts"][key] = hammered["counts"].get(key, 0) + 1

    hammered.update(run=True, counts={}, thread=threading.Thread(target=run))
    hammered["thread"].start()
    return {}


def hammer_stop():
    hammered["run"] = False
    hammered["thread"].join()
    return hammered["counts"]


def measure(host, port, count):
    """Median nanoseconds that connect() takes."""
    times = []
    for _ in range(count):
        connection = socket.socket(family_of(host), socket.SOCK_STREAM)
        before = time.perf_counter_ns()
        connection.connect((host, port))
        times.append(time.perf_counter_ns() - before)
        connection.close()
    return {"medianNs": sorted(times)[count // 2]}


def datagram(host, port, connected=False):
    with socket.socket(family_of(host), socket.SOCK_DGRAM) as sender:
        if connected:
            sender.connect((host, port))
            sender.send(b"x")
        else:
            sender.sendto(b"x", (host, port))
    return {}


def listen(host, port, reuse=False, answer=None):
    listener = socket.socket(family_of(host), socket.SOCK_STREAM)
    if reuse:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listener.bind((host, port))
        listener.listen()
    except OSError:
        listener.close()
        raise
    listening.append(listener)

    def serve():
        while True:
            connection, _ = listener.accept()
            connection.sendall((answer + "\n").encode())
            connection.close()

    if answer:
        threading.Thread(target=serve, daemon=True).start()
    return {"port": listener.getsockname()[1]}


def fork_connect(host, port):
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        outcome = attempt(connect, host=host, port=port)
        os.write(writable, json.dumps(outcome).encode())
        os._exit(0)
    os.close(writable)
    text = os.read(readable, 65536)
    os.close(readable)
    os.waitpid(child, 0)
    return json.loads(text)


def execute():
    """The same program again: same process, same executable, another image."""
    os.execv(sys.executable, [sys.executable, *sys.argv])


def become(uid=None, effective_uid=None, cgroup=None, name=None):
    if uid is not None:
        os.setresuid(uid, uid, uid)
    if effective_uid is not None:
        os.seteuid(effective_uid)
    if cgroup is not None:
        with open(f"{cgroup}/cgroup.procs", "w") as file:
            file.write(str(os.getpid()))
    if name is not None:
        ctypes.CDLL(None).prctl(15, name.encode())
    return {}


def attempt(action, **arguments):
    try:
        return action(**arguments)
    except OSError as error:
        return {"error": errno.errorcode.get(error.errno, str(error))}


actions = {
    action.__name__: action
    for action in (become, connect, connect_only, datagram, drop, execute, flood, fork_connect, hammer, hammer_stop, hold, listen, measure, reuse)
}


def main():
    print(json.dumps({"pid": os.getpid()}), flush=True)
    for line in iter(sys.stdin.readline, ""):
        request = json.loads(line)
        print(json.dumps(attempt(actions[request.pop("do")], **request)), flush=True)


main()
