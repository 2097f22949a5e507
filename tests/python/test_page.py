"""The page that leads from nothing to the first scheduled job: its job is synthesized, and runs as the page says.

    export FANFOLD_TEST_PROGRAM=target/debug/fanfold
    pytest tests/python/test_page.py

What the page says of an account (`cdk bootstrap`, `cdk deploy`) is done in `test_deployment.py`, with moto for the account.
"""

import os
import platform
import re
import subprocess
import time
from pathlib import Path

import boto3
import embedded
import pytest

PROGRAM = Path(os.environ["FANFOLD_TEST_PROGRAM"]).resolve()
INFRA = Path(__file__).resolve().parents[2] / "infra"
ARCHITECTURE = "x86_64" if platform.machine() == "x86_64" else "arm64"
OUTPUT = "number,square\n" + "".join(f"{number},{number * number}\n" for number in range(60))

# What the first run of all may take on a busy machine.
SECONDS_AT_MOST = 60


@pytest.fixture(scope="module")
def first_steps():
    """The page's first block of commands."""
    return re.search(r"```sh\n(.*?)```", (INFRA / "README.md").read_text(), re.DOTALL)[1]


@pytest.fixture(scope="module")
def job(first_steps, tmp_path_factory):
    """The job file that the page writes."""
    name, text = re.search(r"cat > jobs/(\S+) <<'JOB'\n(.*?\n)JOB\n", first_steps, re.DOTALL).groups()
    file = tmp_path_factory.mktemp("jobs") / name
    file.write_text(text)
    return file


def run(*command, **options):
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
    assert done.returncode == 0, f"{command}:\n{done.stdout}"


def test_it_is_ten_lines_from_nothing_to_the_first_scheduled_job(first_steps):
    assert len(first_steps.splitlines()) <= 10


def test_the_pages_job_runs_when_its_schedule_fires(job, tmp_path):
    contexts = [f"--context=jobs={job.parent}", f"--context=architecture={ARCHITECTURE}"]
    run("npx", "cdk", "synth", "--quiet", *contexts, f"--output={tmp_path}", cwd=INFRA)
    with embedded.stack(PROGRAM, tmp_path / "Fanfold.template.json") as there:
        run(PROGRAM, "fire", job.stem, "--at", "2026-11-22T03:00:00Z", env={**os.environ, **there})
        bucket = there["FANFOLD_WORK_URI"].split("/")[2]
        keys = {
            "region_name": there["AWS_REGION"],
            "aws_access_key_id": there["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": there["AWS_SECRET_ACCESS_KEY"],
        }
        assert output_of(boto3.client("s3", endpoint_url=there["AWS_ENDPOINT_URL_S3"], **keys), bucket, job.stem) == OUTPUT


def output_of(s3, bucket, job):
    """The only output below the job's name, as soon as it is there: outputs appear whole."""
    until = time.monotonic() + SECONDS_AT_MOST
    while time.monotonic() < until:
        found = s3.list_objects_v2(Bucket=bucket, Prefix=f"outputs/{job}/").get("Contents", [])
        if found:
            (output,) = found
            return s3.get_object(Bucket=bucket, Key=output["Key"])["Body"].read().decode()
        time.sleep(0.05)
    pytest.fail(f"no output within {SECONDS_AT_MOST} s")


def test_the_pages_job_runs_without_a_deployment(job, tmp_path):
    output = tmp_path / "hello.csv"
    run(PROGRAM, "run", job, "--set", f"output.uri={output}", cwd=INFRA / "tasks")
    assert output.read_text() == OUTPUT
