#!/usr/bin/env python3
"""Asks a Bedrock agent, over ordinary HTTPS, with no SDK, no key and no token. Prints one line per request:
the HTTP status and the start of the answer.

    agent.py               one request
    agent.py --every 0.05  a request every 50 ms over one kept-alive connection, until it is told to stop
"""
import http.client
import json
import ssl
import sys
import time
import urllib.parse
import urllib.request

HOST = "bedrock-agent-runtime.us-east-1.amazonaws.com"
PATH = "/agents/AGENT123/agentAliases/ALIAS456/sessions/session-001/text"
BODY = json.dumps({"inputText": "What is the weather like in Budapest?"})


def connect():
    context = ssl.create_default_context()
    proxy = urllib.request.getproxies().get("https")  # the usual HTTPS_PROXY, where somebody set one
    if not proxy:
        return http.client.HTTPSConnection(HOST, timeout=10, context=context)
    address = urllib.parse.urlsplit(proxy)
    connection = http.client.HTTPSConnection(address.hostname, address.port, timeout=10, context=context)
    connection.set_tunnel(HOST, 443)
    return connection


def ask(connection):
    connection.request("POST", PATH, body=BODY, headers={"Content-Type": "application/json"})
    response = connection.getresponse()
    answer = response.read()
    text = "".join(chr(byte) if 32 <= byte < 127 else " " for byte in answer)
    return response.status, " ".join(text.split())[:200]


def main():
    every = float(sys.argv[2]) if sys.argv[1:2] == ["--every"] else None
    connection = connect()
    while True:
        try:
            status, text = ask(connection)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            status, text = 0, f"{type(error).__name__}: {error}"
        print(status, text, flush=True)
        if every is None:
            return 0 if status == 200 else 1
        time.sleep(every)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
