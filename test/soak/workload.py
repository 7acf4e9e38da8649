"""A process of the soak: makes requests of every kind until standard input ends, and tells what came of each.

Started as `workload.py TRUST LABEL NAME SEED PAUSE`, or forked by nursery.py with the same arguments. LABEL says who
it is and stands in the path of every request, with a number that no other request has. One JSON line for each
request, in one write, so that processes share the pipe; `since` is when the connection was last known to be well, so
that a failure can be laid to what happened then.
"""

import hashlib
import http.client
import json
import os
import random
import select
import ssl
import sys
import time

RUNTIME = "bedrock-agent-runtime.us-east-1.amazonaws.com"
STORE = "s3.us-east-1.amazonaws.com"
UNBOUND = "ssm.us-east-1.amazonaws.com"
TIMEOUT = 60
IDLE = 20  # a third of what the cloud and the daemon wait for the next request
CURL = "/usr/bin/curl"

chance = random.Random()
number = 0
kept = {}


def tell(**report):
    os.write(1, (json.dumps(report) + "\n").encode())


def unique():
    """What tells this request from every other one, also from those of this process before it became another."""
    global number
    number += 1
    return f"{NAME}-{os.getpid()}-{time.time_ns():x}-{number}"


class Kept:
    """A connection, and when it last served."""

    def __init__(self, host):
        self.since = time.time()
        self.http = http.client.HTTPSConnection(host, timeout=TIMEOUT, context=context)
        self.http.auto_open = 0


def call(what, host, method, path, body=None, headers=None, fresh=False):
    """One request; its status and body, or None when there was no answer."""
    begun = time.time()
    connection = None if fresh else kept.pop(host, None)
    if connection is not None and begun - connection.since > IDLE:
        connection.http.close()
        connection = None
    since = begun if connection is None else connection.since
    report = {"what": what, "label": LABEL, "method": method, "path": path}
    try:
        if connection is None:
            connection = Kept(host)
            connection.http.connect()
        headers = headers or {}
        connection.http.request(method, path, body, headers, encode_chunked="Transfer-Encoding" in headers)
        answer = connection.http.getresponse()
        data = answer.read()
        code = answer.headers.get("x-tideway-error")
        tell(**report, outcome=f"{answer.status} {code}" if code else str(answer.status), since=since, until=time.time())
        connection.since = time.time()
        if connection.http.sock is not None and not fresh:
            kept[host] = connection
        else:
            connection.http.close()
        return (None if code else answer.status), data
    except (OSError, http.client.HTTPException) as error:
        tell(**report, outcome=type(error).__name__, detail=str(error), since=since, until=time.time())
        if connection is not None:
            connection.http.close()
        return None, b""


def ask(fresh=False, size=None):
    body = json.dumps({"inputText": "x" * (chance.randrange(20, 2000) if size is None else size)})
    path = f"/agents/AGENT/agentAliases/{LABEL}/sessions/{unique()}/text"
    call("large request" if size else "request", RUNTIME, "POST", path, body, fresh=fresh)


def ask_large():
    ask(size=chance.randrange(100_000, 2_000_000))


def burst():
    for _ in range(chance.randrange(5, 30)):
        ask()


def store():
    """Puts an object, gets it and deletes it: it comes back as it was."""
    size = chance.choice((0, 10, 3_000, 60_000, 300_000, 1_000_000))
    body = chance.randbytes(size)
    path = f"/{LABEL}/{unique()}"
    mode = chance.choice(("hashed", "declared", "unsigned", "chunked"))
    headers, sent = {}, body
    if mode == "declared":
        headers["x-amz-content-sha256"] = hashlib.sha256(body).hexdigest()
    elif mode == "unsigned":
        headers["x-amz-content-sha256"] = "UNSIGNED-PAYLOAD"
    elif mode == "chunked":
        headers["Transfer-Encoding"] = "chunked"
        sent = iter([body[at : at + 50_000] for at in range(0, size, 50_000)])
    status, _ = call(f"put {mode}", STORE, "PUT", path, sent, headers)
    if status != 200:
        return
    status, data = call("get", STORE, "GET", path)
    if status == 200 and data != body:
        tell(broken=f"{path} came back as {len(data)} other bytes than the {size} that were put")
    if status not in (200, None):
        tell(broken=f"{path} was put and then not found: {status}")
    call("delete", STORE, "DELETE", path)


def pass_by():
    """A host that no Service names: nobody signs."""
    call("unbound", UNBOUND, "GET", f"/unbound/{LABEL}/{unique()}", fresh=chance.random() < 0.5)


def fork():
    """A child that lives for one request."""
    child = os.fork()
    if child == 0:
        kept.clear()
        ask(fresh=True)
        os._exit(0)
    os.waitpid(child, 0)


def other_program():
    """Another program of the same user, which is nobody."""
    begun = time.time()
    path = f"/agents/AGENT/agentAliases/curl/sessions/{unique()}/text"
    options = ["-s", "-o", "/dev/null", "-w", "%{http_code}", "--cacert", TRUST, "-m", str(TIMEOUT), "-d", "{}"]
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(writer, 1)
        try:
            os.execv(CURL, [CURL, *options, f"https://{RUNTIME}{path}"])
        finally:
            os._exit(127)
    os.close(writer)
    with open(reader, "rb") as said:
        status = said.read().decode()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    outcome = f"curl {code}" if code else status
    tell(what="request", label="curl", method="POST", path=path, outcome=outcome, since=begun, until=time.time())


def become():
    """The same program anew, in the same process."""
    os.execv(sys.executable, [sys.executable, __file__, TRUST, LABEL, NAME, str(chance.randrange(2**32)), str(PAUSE)])


# Programs that start anew are the dearest by far.
ACTIONS = (
    (80, ask), (20, lambda: ask(fresh=True)), (8, ask_large), (2, burst), (24, store), (16, pass_by), (8, fork),
    (1, other_program), (1, become),
)
WEIGHTS = [weight for weight, _ in ACTIONS]


def is_over(seconds):
    """Waits; true once standard input has ended."""
    return bool(select.select([0], [], [], seconds)[0])


def trust_in(file):
    global TRUST, context
    TRUST, context = file, ssl.create_default_context(cafile=file)


def work(label, name, seed, pause):
    global LABEL, NAME, PAUSE
    LABEL, NAME, PAUSE = label, name, float(pause)
    chance.seed(seed)
    while not is_over(chance.expovariate(1 / PAUSE)):
        chance.choices([action for _, action in ACTIONS], WEIGHTS)[0]()


if __name__ == "__main__":
    trust_in(sys.argv[1])
    work(*sys.argv[2:])
