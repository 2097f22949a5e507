"""The synthesized template, deployed by the CDK's own command line into moto, AWS's control plane on this machine, read back
with boto3, and destroyed again.

Moto makes the bucket, the queue, roles and policies, log groups, functions, the rule and the dashboard. What it leaves out is
listed in `moto_stand_ins.py`: of those, these tests prove that they are deployed and destroyed, and that they refer to what is
there. Moto checks no permission, invokes nothing and sends no event, and it drops in silence what it does not know of a resource:
the bucket's lifecycle, public access block, ownership and EventBridge, the functions' JSON logs, RecursiveLoop and arm64. All of
that is held by the assertions of `infra/test`.

    export FANFOLD_TEST_TEMPLATE=infra/cdk.out/Fanfold.template.json FANFOLD_TEST_PROGRAM=target/debug/fanfold
    pytest tests/python/test_deployment.py
"""

import io
import json
import logging
import os
import re
import subprocess
import zipfile
from pathlib import Path

import boto3
import embedded
import moto_stand_ins
import pytest
from moto.server import ThreadedMotoServer

TEMPLATE = Path(os.environ["FANFOLD_TEST_TEMPLATE"]).resolve()
PROGRAM = Path(os.environ["FANFOLD_TEST_PROGRAM"]).resolve()
INFRA = Path(__file__).resolve().parents[2] / "infra"
STACK = TEMPLATE.name.removesuffix(".template.json")
ACCOUNT = "123456789012"
REGION = "us-east-1"
ROLES = ["dispatcher", "worker", "reducer"]

# Every resource with a wildcard that a role may have, and why it cannot be without. `BUCKET` is the work bucket.
WILDCARDS = {
    "arn:aws:s3:::BUCKET/work/*": "the keys of artefacts are made at run time",
    "arn:aws:s3:::BUCKET/work/active/*": "one marker for each job that runs",
    "arn:aws:s3:::BUCKET/work/jobs/*": "one folder for each job",
    "arn:aws:s3:::BUCKET/work/jobs/*/chunks/*": "artefacts that are deleted: results of chunks, below each job's folder",
    "arn:aws:s3:::BUCKET/work/jobs/*/nodes/*": "artefacts that are deleted: nodes of an output, below each job's folder",
    "arn:aws:s3:::BUCKET/work/jobs/*/joblog.tsv": "an unfinished joblog is dropped, below each job's folder",
    "arn:aws:s3:::BUCKET/inputs/*": "which objects are read, the jobs say at run time",
    "arn:aws:s3:::BUCKET/outputs/*": "which objects are written, the jobs say at run time",
}
# On AWS each role has one more: the ARN of its own log group, which ends with `:*` there and not in moto.


class Cloud:
    """The account in moto, with the stack in it."""

    def __init__(self, endpoint, outputs_file):
        self.environment = {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        self.outputs_file = outputs_file
        self.template = json.loads(TEMPLATE.read_text())

    def client(self, service):
        return boto3.client(
            service,
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def cdk(self, *arguments):
        command = ["npx", "cdk", *arguments, "--ci", "--progress=events"]
        environment = {**os.environ, **self.environment}
        run = subprocess.run(command, cwd=INFRA, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert run.returncode == 0, f"{' '.join(command)}:\n{run.stdout}"

    def deploy(self):
        self.cdk("bootstrap", f"aws://{ACCOUNT}/{REGION}", f"--app={TEMPLATE.parent}")
        outputs = f"--outputs-file={self.outputs_file}"
        self.cdk("deploy", f"--app={TEMPLATE.parent}", "--method=direct", "--require-approval=never", outputs)

    def resources(self):
        """Logical id -> physical id, where moto tells it."""
        answer = self.client("cloudformation").describe_stack_resources(StackName=STACK)
        return {it["LogicalResourceId"]: it.get("PhysicalResourceId") for it in answer["StackResources"]}

    def of_type(self, resource_type):
        """The template's resources of a type: logical id -> properties."""
        resources = self.template["Resources"].items()
        return {name: it.get("Properties", {}) for name, it in resources if it["Type"] == resource_type}

    def stand_ins(self):
        """What moto does not know: (type, properties)."""
        return [it for (stack, _), it in moto_stand_ins.deployed.items() if stack == STACK]

    def bucket(self):
        (name,) = self.of_type("AWS::S3::Bucket")
        return self.resources()[name]

    def functions(self):
        """Role -> what Lambda says of the function."""
        functions = {it["FunctionName"]: it for it in self.client("lambda").list_functions()["Functions"]}
        return {role: functions.pop(f"fanfold-{role}") for role in ROLES if not functions.get(role)}

    def arns(self):
        """The ARNs of all that the stack has, of the kinds that are referred to."""
        queues = self.client("sqs")
        attributes = [queues.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"]) for url in queues.list_queues()["QueueUrls"]]
        return {
            *(function["FunctionArn"] for function in self.functions().values()),
            *(it["Attributes"]["QueueArn"] for it in attributes),
            *(role["Arn"] for role in self.client("iam").list_roles()["Roles"]),
            *(rule["Arn"] for rule in self.client("events").list_rules()["Rules"]),
            f"arn:aws:s3:::{self.bucket()}",
        }


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    # By this name, since the CDK then knows that it is not AWS.
    endpoint = f"http://localhost:{server.get_host_and_port()[1]}"
    cloud = Cloud(endpoint, tmp_path_factory.mktemp("deployed") / "outputs.json")
    try:
        cloud.deploy()
        yield cloud
    finally:
        server.stop()


def texts(value):
    """All strings in a JSON value."""
    if isinstance(value, dict):
        return [text for inner in value.values() for text in texts(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in texts(inner)]
    return [value] if isinstance(value, str) else []


def statements(policy):
    """The statements of a policy with actions and resources as lists."""
    as_list = lambda value: value if isinstance(value, list) else [value]
    return [(as_list(it["Action"]), as_list(it["Resource"])) for it in as_list(policy["Statement"])]


def role_policies(cloud):
    """The statements of all roles of the stack: (role, actions, resources)."""
    iam, resources = cloud.client("iam"), cloud.resources()
    found = []
    for role in (resources[name] for name in cloud.of_type("AWS::IAM::Role")):
        assert iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"] == [], "no managed policy"
        names = iam.list_role_policies(RoleName=role)["PolicyNames"]
        assert names, f"{role} may do nothing"
        for name in names:
            policy = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
            found += [(role, actions, resources) for actions, resources in statements(policy)]
    return found


def test_every_resource_of_the_template_is_deployed(cloud):
    assert set(cloud.resources()) == set(cloud.template["Resources"])


def test_each_function_is_as_the_template_says(cloud):
    for properties in cloud.of_type("AWS::Lambda::Function").values():
        function = cloud.client("lambda").get_function_configuration(FunctionName=properties["FunctionName"])
        for setting in ("Runtime", "Handler", "MemorySize", "Timeout", "EphemeralStorage", "Architectures"):
            # Moto says x86_64 whatever the template says.
            if (setting, properties[setting]) != ("Architectures", ["arm64"]):
                assert function[setting] == properties[setting], setting
        assert set(function["Environment"]["Variables"]) == set(properties["Environment"]["Variables"])


def test_the_functions_environments_are_resolved(cloud):
    for role, function in cloud.functions().items():
        variables = function["Environment"]["Variables"]
        assert variables["FANFOLD_WORK_URI"] == f"s3://{cloud.bucket()}/work/"
        assert [variables[f"FANFOLD_{it.upper()}"] for it in ROLES] == [f"fanfold-{it}" for it in ROLES]
        for name, value in variables.items():
            assert value and "None" not in value and "${" not in value, f"{role}: {name}={value}"
    variables = cloud.functions()["dispatcher"]["Environment"]["Variables"]
    assert json.loads(variables["FANFOLD_DEPLOYMENT_VALUES"])["bucket"] == cloud.bucket()
    assert variables["FANFOLD_WORKER_MEMORY_MB"] == str(cloud.functions()["worker"]["MemorySize"])


def test_each_function_has_a_role_of_its_own(cloud):
    roles = [function["Role"] for function in cloud.functions().values()]
    assert len(set(roles)) == 3
    for arn in roles:
        role = cloud.client("iam").get_role(RoleName=arn.split("/")[-1])["Role"]
        (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
        assert (trust["Action"], trust["Principal"]) == ("sts:AssumeRole", {"Service": "lambda.amazonaws.com"})


def test_each_function_is_given_its_program_and_what_lies_beside_it(cloud):
    files = {role: contents(cloud, role) for role in ROLES}
    for role in ROLES:
        assert files[role]["bootstrap"] & 0o111 == 0o111, f"{role}: Lambda could not execute its program"
    jobs = {f"jobs/{path.name}" for path in INFRA.glob("jobs/*.json")}
    tasks = {f"tasks/{path.relative_to(INFRA / 'tasks')}" for path in INFRA.glob("tasks/**/*") if path.is_file()}
    assert jobs and tasks
    assert set(files["dispatcher"]) == {"bootstrap", *jobs}
    assert set(files["worker"]) == {"bootstrap", *tasks}
    assert set(files["reducer"]) == {"bootstrap"}


def contents(cloud, role):
    """The files of a function's zip: name -> mode. Read from where the CDK put it, since moto hands out no code."""
    properties = cloud.of_type("AWS::Lambda::Function").values()
    (code,) = [it["Code"] for it in properties if it["FunctionName"] == f"fanfold-{role}"]
    bucket = f"cdk-hnb659fds-assets-{ACCOUNT}-{REGION}"
    body = cloud.client("s3").get_object(Bucket=bucket, Key=code["S3Key"])["Body"].read()
    entries = zipfile.ZipFile(io.BytesIO(body)).infolist()
    return {it.filename: it.external_attr >> 16 for it in entries if not it.is_dir()}


def test_no_role_may_do_everything_and_each_wildcard_has_its_reason(cloud):
    used = set()
    for role, actions, resources in role_policies(cloud):
        assert not [action for action in actions if "*" in action], f"{role}: {actions}"
        wild = {resource.replace(cloud.bucket(), "BUCKET") for resource in resources if re.search(r"[*?]", resource)}
        assert wild <= set(WILDCARDS), f"{role}: {actions} on {wild - set(WILDCARDS)}"
        used |= wild
    assert used == set(WILDCARDS), "a reason for what nobody has any more"


def test_what_is_referred_to_is_there(cloud):
    there = cloud.arns()
    referred = [text for _, properties in cloud.stand_ins() for text in texts(properties)]
    referred += [text for _, _, resources in role_policies(cloud) for text in resources]
    rules = cloud.client("events")
    for rule in rules.list_rules()["Rules"]:
        referred += texts(rules.list_targets_by_rule(Rule=rule["Name"])["Targets"])
    kinds = r"arn:aws:(lambda:[^/]*:function:|sqs:|iam::|events:|s3:::)"
    arns = {re.sub(r"(?<=[^:])/.*", "", text) if text.startswith("arn:aws:s3:::") else text for text in referred if re.match(kinds, text)}
    assert len(arns) >= 6
    assert arns <= there, arns - there
    assert not [text for text in referred if "None" in text or "${" in text]


def test_who_catches_what_fails_is_deployed(cloud):
    functions = {role: it["FunctionArn"] for role, it in cloud.functions().items()}
    settings = [it for kind, it in cloud.stand_ins() if kind == "AWS::Lambda::EventInvokeConfig"]
    destinations = {it["FunctionName"]: (it["MaximumRetryAttempts"], it["DestinationConfig"]["OnFailure"]["Destination"]) for it in settings}
    assert destinations["fanfold-worker"] == (0, functions["dispatcher"])
    assert destinations["fanfold-reducer"] == (0, functions["dispatcher"])
    retries, dead_letters = destinations["fanfold-dispatcher"]
    assert retries == 2 and dead_letters.startswith("arn:aws:sqs:")


def test_the_rule_may_invoke_the_dispatcher(cloud):
    (rule,) = cloud.client("events").list_rules()["Rules"]
    policy = json.loads(cloud.client("lambda").get_policy(FunctionName="fanfold-dispatcher")["Policy"])
    (statement,) = policy["Statement"]
    assert statement["Principal"] == {"Service": "events.amazonaws.com"}
    assert rule["Arn"] in texts(statement["Condition"])


def test_nobody_but_named_services_may_use_the_bucket_and_the_queue_from_outside(cloud):
    policies = [it["PolicyDocument"] for kind, it in cloud.stand_ins() if kind in ("AWS::S3::BucketPolicy", "AWS::SQS::QueuePolicy")]
    everyone = [statement for policy in policies for statement in policy["Statement"]]
    denied = [it for it in everyone if it["Effect"] == "Deny"]
    assert [it["Condition"] for it in denied] == [{"Bool": {"aws:SecureTransport": "false"}}] * 2, "bucket and queue: TLS only"
    for allowed in (it for it in everyone if it["Effect"] == "Allow"):
        assert allowed["Principal"] == {"Service": "events.amazonaws.com"}
        assert set(texts(allowed["Condition"])) <= cloud.arns(), "only for the stack's own rules"


def test_new_objects_in_the_deployed_bucket_start_the_dispatcher(cloud):
    events = cloud.client("events")
    (rule,) = events.list_rules()["Rules"]
    pattern = json.loads(rule["EventPattern"])
    assert (pattern["source"], pattern["detail"]["bucket"]["name"]) == (["aws.s3"], [cloud.bucket()])
    (target,) = events.list_targets_by_rule(Rule=rule["Name"])["Targets"]
    assert target["Arn"] == cloud.functions()["dispatcher"]["FunctionArn"]


def test_the_outputs_name_the_deployed_pipeline(cloud):
    outputs = json.loads(cloud.outputs_file.read_text())[STACK]
    assert outputs["FanfoldDispatcher"] == "fanfold-dispatcher"
    assert outputs["FanfoldWorkUri"] == f"s3://{cloud.bucket()}/work/"
    groups = [it["logGroupName"] for it in cloud.client("logs").describe_log_groups()["logGroups"]]
    assert sorted(outputs["FanfoldLogs"].split(",")) == sorted(groups)
    dashboards = cloud.client("cloudwatch").list_dashboards()["DashboardEntries"]
    assert outputs["FanfoldDashboard"].endswith(f"/{dashboards[0]['DashboardName']}")


def test_the_command_line_finds_the_pipeline_by_its_stacks_outputs(cloud):
    # Moto says where the pipeline is, and the embedded Lambda runs it: moto invokes nothing.
    with embedded.stack(PROGRAM, TEMPLATE) as there:
        there["AWS_ENDPOINT_URL_CLOUDFORMATION"] = cloud.environment["AWS_ENDPOINT_URL"]
        submit = ["submit", "squares-nightly", "--wait", "--json"]
        run = lambda stack: subprocess.run([PROGRAM, "--stack", stack, *submit], env={**os.environ, **there}, text=True, capture_output=True)
        found, missing = run(STACK), run("Other")
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["status"] == "succeeded"
    assert missing.returncode != 0 and "Other" in missing.stderr


def test_nothing_but_the_bucket_outlives_the_stack(cloud):
    bucket = cloud.bucket()
    cloud.cdk("destroy", f"--app={TEMPLATE.parent}", "--force", STACK)
    assert cloud.client("lambda").list_functions()["Functions"] == []
    assert cloud.client("sqs").list_queues().get("QueueUrls", []) == []
    assert cloud.client("events").list_rules()["Rules"] == []
    assert cloud.client("logs").describe_log_groups()["logGroups"] == []
    assert cloud.stand_ins() == []
    assert bucket in [it["Name"] for it in cloud.client("s3").list_buckets()["Buckets"]]
