"""Puts, gets, heads, lists and deletes objects with boto3: objects.py unsigned|dummy ENDPOINT BUCKET."""

import hashlib
import sys

import boto3
from botocore import UNSIGNED
from botocore.config import Config

mode, endpoint, bucket = sys.argv[1:]
MIB = 1024 * 1024
SIZES = [0, 1024, MIB, 8 * MIB]
KEYS = [
    "plain",
    "a space",
    "plus+plus",
    "~tilde",
    "it's (here)*!",
    "é ☃",
    "percent %2F 100%",
    "double//slash/",
    "/leading",
    "dots/./and/../more",
    "&=?#;:@,$[]{}|^`\"<>",
]

keys = {} if mode == "unsigned" else {"aws_access_key_id": "AKIAIOSFODNN7EXAMPLE", "aws_secret_access_key": "none"}
signature = {"signature_version": UNSIGNED} if mode == "unsigned" else {}
s3 = boto3.client(
    "s3",
    endpoint_url=endpoint,
    region_name="us-east-1",
    config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}, **signature),
    **keys,
)


def same(expected, seen, what):
    if expected != seen:
        sys.exit(f"{what}: expected {str(expected)[:200]}, not {str(seen)[:200]}")


s3.create_bucket(Bucket=bucket)
for size in SIZES:
    body = (hashlib.sha256(str(size).encode()).digest() * (size // 32 + 1))[:size]
    key = f"size/{size}"
    s3.put_object(Bucket=bucket, Key=key, Body=body, Metadata={"written-by": "a  workload"})
    same(size, s3.head_object(Bucket=bucket, Key=key)["ContentLength"], f"length of {key}")
    same(body, s3.get_object(Bucket=bucket, Key=key)["Body"].read(), f"content of {key}")
if SIZES[-1]:
    part = s3.get_object(Bucket=bucket, Key=f"size/{SIZES[-1]}", Range="bytes=32-63")["Body"].read()
    same(32, len(part), "length of a range")

for key in KEYS:
    s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    same(key.encode(), s3.get_object(Bucket=bucket, Key=key)["Body"].read(), f"content of {key}")
    listed = s3.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=10)
    same([key], [found["Key"] for found in listed.get("Contents", [])], f"list with prefix {key}")
listed = s3.list_objects_v2(Bucket=bucket, Delimiter="/")
same({"size/", "double/", "/", "dots/"}, {found["Prefix"] for found in listed["CommonPrefixes"]}, "common prefixes")

upload = s3.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]
parts = []
for number, size in [(1, 5 * MIB), (2, 10)]:
    answer = s3.upload_part(Bucket=bucket, Key="parts", UploadId=upload, PartNumber=number, Body=b"p" * size)
    parts.append({"PartNumber": number, "ETag": answer["ETag"]})
s3.complete_multipart_upload(Bucket=bucket, Key="parts", UploadId=upload, MultipartUpload={"Parts": parts})
same(5 * MIB + 10, s3.head_object(Bucket=bucket, Key="parts")["ContentLength"], "length of the parts together")

keys = [found["Key"] for found in s3.list_objects_v2(Bucket=bucket)["Contents"]]
same(len(SIZES) + len(KEYS) + 1, len(keys), "number of objects")
for key in keys[:-2]:
    s3.delete_object(Bucket=bucket, Key=key)
s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys[-2:]]})
same(0, s3.list_objects_v2(Bucket=bucket)["KeyCount"], "number of objects after deletion")
s3.delete_bucket(Bucket=bucket)
print(len(keys), "objects")
