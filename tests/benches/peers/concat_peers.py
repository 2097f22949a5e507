"""What others do to make one object of many, each in its own way.

    python concat_peers.py WAY BUCKET PREFIX OUTPUT [COUNT]

The objects are those whose keys begin with PREFIX, in the order of their keys; with COUNT, the way `aws-pipe` takes only
the first so many. S3 and who asks are those of the environment
(AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, ...). Prints a line of JSON: how long it took, in seconds, without the start of Python
where a way needs that once; bytes read from and written to S3 by this machine; and requests.
"""

import itertools
import json
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from counts import Counts
from s3_concat import S3Concat

THREADS = 8
PART_BYTES = 16 << 20

way, bucket, prefix, output = sys.argv[1:5]
count = int(sys.argv[5]) if len(sys.argv) > 5 else None
counts = Counts()
s3 = boto3.client("s3", config=Config(s3={"addressing_style": "path"}, max_pool_connections=32, read_timeout=300))
counts.watch(s3.meta.events)


def keys():
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return [found["Key"] for page in pages for found in page["Contents"]]


def s3_concat(threads=1):
    """The package s3-concat, as its documents show it."""
    job = S3Concat(bucket, output, None, s3_client=s3)
    job.add_files(prefix)
    job.concat(small_parts_threads=threads)


def s3_concat_threads():
    s3_concat(THREADS)


class Contents:
    """The objects, one after the other, as a file."""

    def __init__(self):
        self.bodies = (s3.get_object(Bucket=bucket, Key=key)["Body"] for key in keys())
        self.body = next(self.bodies, None)

    def read(self, amount=-1):
        pieces, left = [], amount
        while left and self.body is not None:
            piece = self.body.read(left)
            if piece:
                pieces.append(piece)
                left -= len(piece)
            else:
                self.body = next(self.bodies, None)
        return b"".join(pieces)


def loop():
    """The loop that people write: each object is read, all of it is uploaded."""
    s3.upload_fileobj(Contents(), bucket, output, Config=TransferConfig(multipart_chunksize=PART_BYTES))


def part_copies():
    """A part copy for each object, some at once. S3 takes no part under 5 MiB but the last."""
    upload = s3.create_multipart_upload(Bucket=bucket, Key=output)["UploadId"]
    at = {"Bucket": bucket, "Key": output, "UploadId": upload}

    def copy(number, key):
        source = {"Bucket": bucket, "Key": key}
        copied = s3.upload_part_copy(**at, PartNumber=number, CopySource=source)
        return {"PartNumber": number, "ETag": copied["CopyPartResult"]["ETag"]}

    with ThreadPoolExecutor(THREADS) as pool:
        parts = list(pool.map(copy, itertools.count(1), keys()))
    s3.complete_multipart_upload(**at, MultipartUpload={"Parts": parts})


def aws_pipe():
    """`aws s3 cp` of each object, all of them through a pipe into another."""
    reads = f"while read -r key; do {aws()} s3 cp --quiet s3://{bucket}/$key - < /dev/null; done"
    shell(f"{reads} | {aws()} s3 cp --quiet - s3://{bucket}/{output}", "".join(f"{key}\n" for key in keys()[:count]))


def aws_files():
    """All objects at once into a folder, its files into one, and that back."""
    with tempfile.TemporaryDirectory() as folder:
        whole = shlex.quote(f"{folder}/whole")
        shell(
            f"{aws()} s3 cp --quiet --recursive s3://{bucket}/{prefix} {shlex.quote(folder)}/pieces"
            f" && cat {shlex.quote(folder)}/pieces/* > {whole} && {aws()} s3 cp --quiet {whole} s3://{bucket}/{output}"
        )


def aws():
    return shlex.join([sys.executable, str(pathlib.Path(__file__).with_name("counted_aws.py"))])


def shell(script, stdin=""):
    with tempfile.NamedTemporaryFile("r") as file:
        bash = ["bash", "-e", "-o", "pipefail", "-c", script]
        subprocess.run(bash, input=stdin, text=True, check=True, env={**os.environ, "COUNTS": file.name})
        counts.add(file)


ways = {
    "s3-concat": s3_concat,
    "s3-concat-threads": s3_concat_threads,
    "loop": loop,
    "part-copies": part_copies,
    "aws-pipe": aws_pipe,
    "aws-files": aws_files,
}
began = time.monotonic()
ways[way]()
print(json.dumps({"seconds": time.monotonic() - began, **counts.told()}))
