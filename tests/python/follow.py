"""Waits for a job's report, and copies its output to standard output, with nothing but boto3 and the environment.

    python3 follow.py ANSWER.json     # what the dispatcher answered
"""

import json
import sys
import time

import boto3

GIVE_UP_AFTER_SECONDS = 60
LOOK_EVERY_SECONDS = 0.05


def place(uri):
    bucket, key = uri.removeprefix("s3://").split("/", 1)
    return {"Bucket": bucket, "Key": key}


with open(sys.argv[1]) as file:
    answer = json.load(file)
s3 = boto3.client("s3")
deadline = time.monotonic() + GIVE_UP_AFTER_SECONDS
while True:
    try:
        report = json.load(s3.get_object(**place(answer["result"]))["Body"])
        break
    except s3.exceptions.NoSuchKey:
        if time.monotonic() > deadline:
            sys.exit(f"no report came: {answer}")
        time.sleep(LOOK_EVERY_SECONDS)
if report["status"] != "succeeded":
    sys.exit(f"the job failed: {report}")
sys.stdout.buffer.write(s3.get_object(**place(report["output"]["uri"]))["Body"].read())
