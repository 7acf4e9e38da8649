"""boto3 as a workload uses it: boto.py unsigned|dummy [ENDPOINT]. Prints a line for each thing tried: "ok WHAT", or
"not ok WHAT: WHY"."""

import io
import json
import os
import sys

import boto3
from botocore import UNSIGNED
from botocore.config import Config

mode, endpoint = sys.argv[1], (sys.argv[2:] or [None])[0]
MIB = 1 << 20
KEYS = {"aws_access_key_id": "AKIANOTREAL", "aws_secret_access_key": "not-a-secret"}
signature = {"signature_version": UNSIGNED} if mode == "unsigned" else {}


class Stream(io.RawIOBase):
    """Bytes whose number nobody knows, and that cannot be read again."""

    def __init__(self, content):
        self.content = io.BytesIO(content)

    def readable(self):
        return True

    def read(self, size=-1):
        return self.content.read(size)


def client(name, **options):
    config = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, **signature)
    return boto3.client(name, region_name="us-east-1", config=config, **options, **({} if signature else KEYS))


def attempt(what, run):
    try:
        run()
        print("ok", what, flush=True)
    except Exception as error:
        body = error.read()[:300] if hasattr(error, "read") else ""
        print(f"not ok {what}: {error} {body}".replace("\n", " "), flush=True)


def same(wanted, seen):
    if wanted != seen:
        raise AssertionError(f"not {str(wanted)[:80]}, but {str(seen)[:80]}")


s3 = client("s3", endpoint_url=endpoint)
bucket = f"boto-{mode}-{os.getpid()}"
attempt("create a bucket", lambda: s3.create_bucket(Bucket=bucket))


def put_and_get(key, content, put):
    put(key, content)
    same(content, s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    s3.delete_object(Bucket=bucket, Key=key)


for name, size in {"nothing": 0, "one byte": 1, "64 KiB": 64 << 10, "9 MiB": 9 * MIB}.items():
    content = os.urandom(size)
    put = lambda key, content: s3.put_object(Bucket=bucket, Key=key, Body=content)
    attempt(f"put and get {name}", lambda: put_and_get(name, content, put))
    put = lambda key, content: s3.put_object(Bucket=bucket, Key=key, Body=io.BytesIO(content))
    attempt(f"put and get a file of {name}", lambda: put_and_get(name, content, put))
attempt(
    "put and get a stream in parts",
    lambda: put_and_get("parts", os.urandom(20 * MIB), lambda key, content: s3.upload_fileobj(Stream(content), bucket, key)),
)
if mode == "dummy" and endpoint is None:
    import urllib.request

    url = lambda method, key: s3.generate_presigned_url(method, Params={"Bucket": bucket, "Key": key}, ExpiresIn=60)

    def presigned():
        request = urllib.request.Request(url("put_object", "p"), method="PUT", data=b"presigned")
        urllib.request.urlopen(request).read()
        same(b"presigned", urllib.request.urlopen(url("get_object", "p")).read())

    attempt("put and get by presigned URLs", presigned)
if endpoint is None:
    attempt("get the caller's identity", lambda: client("sts").get_caller_identity()["Arn"].index(":assumed-role/"))

    def parameter():
        ssm = client("ssm")
        ssm.put_parameter(Name=f"/{bucket}", Value="value", Type="String")
        same("value", ssm.get_parameter(Name=f"/{bucket}")["Parameter"]["Value"])

    attempt("put and get a parameter", parameter)
    models = client("bedrock-runtime")
    call = {"modelId": "anthropic.model-v1:0", "body": json.dumps({"messages": [{"role": "user", "content": "hello"}]})}
    attempt("invoke a model", lambda: same("message", json.load(models.invoke_model(**call)["body"])["type"]))
    attempt(
        "invoke a model that streams",
        lambda: list(models.invoke_model_with_response_stream(**call)["body"])[0]["chunk"]["bytes"],
    )
