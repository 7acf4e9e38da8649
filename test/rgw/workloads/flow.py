"""Gets URL again and again over one connection; prints a line for each answer: STATUS, or 0 and what happened."""

import http.client
import sys
import time
import urllib.parse

url = urllib.parse.urlsplit(sys.argv[1])
connection = http.client.HTTPSConnection(url.netloc, timeout=10)
while True:
    try:
        connection.request("GET", url.path)
        answer = connection.getresponse()
        answer.read()
        print(answer.status, flush=True)
    except (OSError, http.client.HTTPException) as error:
        print(0, type(error).__name__, error, flush=True)
        connection.close()
    time.sleep(0.05)
