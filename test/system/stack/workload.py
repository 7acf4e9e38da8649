"""A workload under test: does what the lines of standard input say, one JSON answer a line.

It trusts the intercept root and the cloud's own CA alike, so that a request that slips by the daemon is sent, and
seen. Started as `workload.py TRUST...`; connections are kept under names that the test chooses.
"""

import ctypes
import json
import os
import socket
import ssl
import sys
import threading
import time

TRUST = sys.argv[1:]
sockets = {}
listeners = []
flow = {}


def context():
    made = ssl.create_default_context(cafile=TRUST[0])
    for file in TRUST[1:]:
        made.load_verify_locations(file)
    return made


def connect(id, host, port=443, address=None, tls=True, timeout=10):
    """TCP only, where `tls` is false: the handshake may come later."""
    family = socket.AF_INET6 if address and ":" in address else socket.AF_INET
    connection = socket.socket(family, socket.SOCK_STREAM)
    connection.settimeout(timeout)
    sockets[id] = connection
    connection.connect((address or host, port))
    return handshake(id, host) if tls else {}


def handshake(id, host):
    sockets[id] = context().wrap_socket(sockets[id], server_hostname=host)
    return {"issuer": dict(part[0] for part in sockets[id].getpeercert()["issuer"])}


def send(id, text):
    sockets[id].sendall(text.encode("latin-1"))
    return {}


def receive(id):
    """One response, or what there is when the connection ends: status 0 when that is nothing."""
    connection, data = sockets[id], b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65536)
        if not part:
            return {"status": 0, "error": "closed", "text": data.decode("latin-1")}
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    length = int(headers.get("content-length", 0))
    while len(body) < length:
        part = connection.recv(65536)
        if not part:
            break
        body += part
    return {"status": int(lines[0].split(" ")[1]), "text": body.decode("latin-1")[:400], "headers": headers}


def message(host, path, body='{"inputText": "hello"}', method="POST"):
    head = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Content-Type: application/json"]
    return "\r\n".join([*head, f"Content-Length: {len(body)}", "", body])


def request(host, path, id=None, said={}, **where):
    """A request over the connection `id`, or over one of its own; `said`: method and body, where they matter."""
    if id is None:
        connect("once", host, **where)
    try:
        send(id or "once", message(host, path, **said))
        return receive(id or "once")
    finally:
        if id is None:
            close("once")


def await_end(id):
    """Waits until the other side ends the connection; what came before is dropped."""
    try:
        while sockets[id].recv(65536):
            pass
    except TimeoutError:
        return {"error": "still open"}
    except OSError:
        pass
    return {"at": time.monotonic()}


def close(id):
    sockets.pop(id).close()
    return {}


def listen(address, port):
    """Answers every connection with 200, in plain text."""
    server = socket.create_server((address, port))
    listeners.append(server)

    def serve():
        while True:
            connection, _ = server.accept()
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhere")
            connection.close()

    threading.Thread(target=serve, daemon=True).start()
    return {}


def steal(address, port):
    """Listens where somebody else did, and keeps what comes; `stolen` tells."""
    server = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    server.bind((address, port))
    server.listen()
    server.settimeout(0)
    listeners.append(server)
    return {}


def stolen():
    count = 0
    for server in listeners:
        try:
            while server.accept():
                count += 1
        except OSError:
            pass
    return {"connections": count}


def start_flow(host, path, every=0.0):
    """Requests one after the other over a kept connection, opened again when it ends, until `stop_flow`.

    `path` has one `{}` for the number of the request.
    """
    flow.update(running=True, answers=[])

    def run():
        number, is_open = 0, False
        while flow["running"]:
            begun = time.monotonic()
            try:
                if not is_open:
                    connect("flow", host)
                is_open = True
                answer = request(host, path.format(number), id="flow")
                outcome = answer["status"] or answer["error"]
            except OSError as error:
                outcome = type(error).__name__
            if outcome != 200 and is_open:
                close("flow")
                is_open = False
            flow["answers"].append({"number": number, "outcome": outcome, "begun": begun, "at": time.monotonic()})
            number += 1
            time.sleep(every or (0 if outcome == 200 else 0.01))

    flow["thread"] = threading.Thread(target=run, daemon=True)
    flow["thread"].start()
    return {}


def flow_state():
    return {"answers": list(flow["answers"])}


def stop_flow():
    flow["running"] = False
    flow["thread"].join()
    return flow_state()


def rename(name):
    PR_SET_NAME = 15
    ctypes.CDLL(None).prctl(PR_SET_NAME, name.encode(), 0, 0, 0)
    return {}


def set_uid(uid, saved):
    os.setresuid(uid, uid, saved)
    return {}


def execute(program, id=None):
    """Becomes `program`, an interpreter, with the bare connection `id` open; it goes on where this one was."""
    arguments = [program, __file__, *TRUST]
    environment = dict(os.environ)
    if id is not None:
        os.set_inheritable(sockets[id].fileno(), True)
        environment["ADOPT"] = f"{id}={sockets[id].fileno()}"
    os.execve(program, arguments, environment)


def reuse_pid(pid, uid, host, path):
    """As root: forks until the child has the number of a process that has gone; that one drops to `uid` and asks."""
    for _ in range(500):
        with open("/proc/sys/kernel/ns_last_pid", "w") as last:
            last.write(str(pid - 1))
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            if os.getpid() == pid:
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
                os.write(writer, json.dumps(attempt(request, {"host": host, "path": path})).encode())
            os._exit(0)
        os.close(writer)
        with open(reader, "rb") as answer:
            said = answer.read()
        os.waitpid(child, 0)
        if child == pid:
            return json.loads(said)
    return {"error": "the number was never free"}


def attempt(action, parameters):
    begun = time.monotonic()
    try:
        answer = action(**parameters)
    except OSError as error:
        answer = {"status": 0, "error": type(error).__name__, "detail": str(error)}
    return {**answer, "seconds": time.monotonic() - begun}


def adopt():
    given = os.environ.pop("ADOPT", None)
    if given:
        id, _, descriptor = given.partition("=")
        sockets[id] = socket.socket(fileno=int(descriptor))
        sockets[id].settimeout(10)


ACTIONS = {
    action.__name__: action
    for action in (
        connect, handshake, send, receive, request, await_end, close, listen, steal, stolen, start_flow, flow_state,
        stop_flow, rename, set_uid, execute, reuse_pid,
    )
}

if __name__ == "__main__":
    adopt()
    print(json.dumps({"pid": os.getpid()}), flush=True)
    while line := sys.stdin.readline():
        order = json.loads(line)
        print(json.dumps(attempt(ACTIONS[order.pop("do")], order)), flush=True)
