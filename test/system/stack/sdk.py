"""A workload that puts objects and gets them back with the SDK, all the time, until standard input ends.

Started as `sdk.py BUCKET THREADS`, with AWS_CA_BUNDLE and credentials that are none in its environment. One JSON line
for each call: a failure is never tried again.
"""

import json
import os
import sys
import threading
import time

import boto3
import botocore.config

PAUSE = 0.05
CALLS_PER_CONNECTION = 10

bucket = sys.argv[1]
config = botocore.config.Config(
    region_name="us-east-1",
    retries={"total_max_attempts": 1},
    s3={"addressing_style": "path", "us_east_1_regional_endpoint": "regional"},
    connect_timeout=30,
    read_timeout=30,
)
store = boto3.client("s3", config=config)
over = threading.Event()


def call(operation, path, **parameters):
    begun = time.monotonic()
    outcome, answer = "ok", None
    try:
        answer = getattr(store, operation)(Bucket=bucket, **parameters)
        answer = answer["Body"].read() if "Body" in answer else None
    except Exception as error:
        outcome = f"{type(error).__name__}: {error}"
    report = {"operation": operation, "path": path, "outcome": outcome, "seconds": time.monotonic() - begun}
    os.write(1, (json.dumps(report) + "\n").encode())
    return answer


def work(name):
    number = 0
    while not over.wait(PAUSE):
        key, body = f"{name}-{number}", f"{name} {number} ".encode() * (number % 1000 + 1)
        call("put_object", f"/{bucket}/{key}", Key=key, Body=body)
        if call("get_object", f"/{bucket}/{key}", Key=key) != body:
            os.write(1, (json.dumps({"operation": "compare", "path": key, "outcome": "another body"}) + "\n").encode())
        number += 1
        if number % CALLS_PER_CONNECTION == 0:
            store.close()


call("create_bucket", f"/{bucket}")
threads = [threading.Thread(target=work, args=(name,)) for name in range(int(sys.argv[2]))]
for thread in threads:
    thread.start()
sys.stdin.read()
over.set()
for thread in threads:
    thread.join()
