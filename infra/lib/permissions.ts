import type { ISecret } from 'aws-cdk-lib/aws-secretsmanager';
import type { Permission } from './permit';
import type { DataPlace } from './props';

/** Where the artefacts of the jobs are. */
export interface WorkPlace extends DataPlace {
  readonly prefix: string;
}

/** What the dispatcher does with the artefacts, and with the functions. */
export function dispatcherPermissions(work: WorkPlace, { dispatcher, worker, reducer }: FunctionArns): Permission[] {
  return [
    {
      neededBy: 'what a job has left so far (crates/dispatcher/src/submit.rs, status.rs, wait.rs, sweep.rs, recover.rs, redrive.rs, crates/gather/src/commit.rs)',
      ...artefacts(work, ['s3:GetObject'], '*'),
    },
    {
      neededBy: 'job, plan and marker (crates/dispatcher/src/submit.rs, sweep.rs, redrive.rs), that a job is to stop (cancel.rs), and what a dead worker or reducer should have written (crates/gather/src/commit.rs, lease.rs, finish.rs)',
      ...artefacts(work, ['s3:PutObject'], '*'),
    },
    {
      neededBy: 'markers, done records, groups, attempts (crates/dispatcher/src/sweep.rs, status.rs, crates/gather/src/attempt.rs, commit.rs)',
      ...list(work),
    },
    ...cleanUp(work, 'crates/dispatcher/src/submit.rs, recover.rs, sweep.rs'),
    {
      neededBy: 'workers, itself and the reducer (crates/dispatcher/src/fan_out.rs, recover.rs, crates/dispatcher/src/sweep/act.rs, crates/gather/src/commit.rs)',
      ...invoke(dispatcher, worker, reducer),
    },
    ...useKey(work, ['kms:Decrypt', 'kms:GenerateDataKey'], 'artefacts under a KMS key (crates/store/src/s3/objects.rs)'),
  ];
}

/** What the worker does with the artefacts, and with the functions. */
export function workerPermissions(work: WorkPlace, { worker, reducer }: FunctionArns): Permission[] {
  return [
    {
      neededBy: 'job and plan (crates/worker/src/handle.rs, crates/gather/src/lane.rs), that the job is to stop (crates/worker/src/cancel.rs), attempts and done records of others (crates/gather/src/attempt.rs, commit.rs)',
      ...artefacts(work, ['s3:GetObject'], 'jobs/*'),
    },
    {
      neededBy: 'chunk results, also in parts (crates/worker/src/output.rs); attempts, hops, done records, groups (crates/gather/src/attempt.rs, commit.rs)',
      ...artefacts(work, ['s3:PutObject'], 'jobs/*'),
    },
    {
      neededBy: 'chunk results of an attempt that came second (crates/worker/src/handle.rs)',
      ...artefacts(work, ['s3:DeleteObject'], 'jobs/*/chunks/*'),
    },
    {
      neededBy: 'the parts of a result that does not count (crates/worker/src/output.rs)',
      ...artefacts(work, ['s3:AbortMultipartUpload'], 'jobs/*/chunks/*'),
    },
    { neededBy: 'done records and groups (crates/gather/src/commit.rs), and whether the job is to stop (crates/worker/src/cancel.rs)', ...list(work) },
    {
      neededBy: 'the next hop of its partition, the next partition of its lane (crates/worker/src/handle.rs), the reducer (crates/gather/src/commit.rs)',
      ...invoke(worker, reducer),
    },
    ...useKey(work, ['kms:Decrypt', 'kms:GenerateDataKey'], 'artefacts under a KMS key (crates/store/src/s3/uploads.rs)'),
  ];
}

/** What the reducer does with the artefacts, and with itself. */
export function reducerPermissions(work: WorkPlace, { reducer }: FunctionArns): Permission[] {
  return [
    {
      neededBy: 'job, plan, groups and lease (crates/reducer/src/handle.rs, crates/gather/src/commit.rs, lease.rs); chunk results and nodes, streamed or copied (crates/store/src/concat.rs)',
      ...artefacts(work, ['s3:GetObject'], 'jobs/*'),
    },
    {
      neededBy: 'lease, concat plans, nodes, joblog and report (crates/reducer/src/output.rs, nodes.rs, crates/gather/src/lease.rs, joblog.rs, finish.rs)',
      ...artefacts(work, ['s3:PutObject'], 'jobs/*'),
    },
    {
      neededBy: 'the parts of a node that another reducer has made (crates/store/src/concat/parts.rs)',
      ...artefacts(work, ['s3:ListMultipartUploadParts'], 'jobs/*/nodes/*'),
    },
    { neededBy: 'which nodes are made (crates/gather/src/node.rs); chunk results, to delete them (finish.rs)', ...list(work) },
    ...cleanUp(work, 'crates/reducer/src/handle.rs'),
    {
      neededBy: 'the rest of an upload when time is up, and nodes (crates/reducer/src/handle.rs, nodes.rs, crates/gather/src/node.rs)',
      ...invoke(reducer),
    },
    ...useKey(work, ['kms:Decrypt', 'kms:GenerateDataKey'], 'artefacts under a KMS key (crates/store/src/s3/objects.rs)'),
  ];
}

/** What whoever finds that a job has ended takes away. */
function cleanUp(work: WorkPlace, callers: string): Permission[] {
  const neededBy = (what: string) => `${what} (crates/gather/src/finish.rs, for ${callers})`;
  return [
    { neededBy: neededBy('the marker of the job'), ...artefacts(work, ['s3:DeleteObject'], 'active/*') },
    { neededBy: neededBy('chunk results, once the output is complete'), ...artefacts(work, ['s3:DeleteObject'], 'jobs/*/chunks/*') },
    { neededBy: neededBy('parts of results that dead workers left'), ...artefacts(work, ['s3:AbortMultipartUpload'], 'jobs/*/chunks/*') },
    { neededBy: neededBy('the nodes of an output, once the job has ended'), ...artefacts(work, ['s3:DeleteObject'], 'jobs/*/nodes/*') },
    { neededBy: neededBy('parts of nodes that were not finished'), ...artefacts(work, ['s3:AbortMultipartUpload'], 'jobs/*/nodes/*') },
    {
      neededBy: 'parts of a joblog that was not finished (crates/gather/src/joblog.rs, finish.rs)',
      ...artefacts(work, ['s3:AbortMultipartUpload'], 'jobs/*/joblog.tsv'),
    },
    {
      neededBy: neededBy('the same, to find them'),
      actions: ['s3:ListBucketMultipartUploads'],
      // S3 knows no condition on the prefix for this action.
      resources: [work.bucket.bucketArn],
    },
  ];
}

/** What the dispatcher does with inputs. */
export function dispatcherOnInput(place: DataPlace): Permission[] {
  return [
    {
      neededBy: 'size and etag of an object, the header of a CSV, the lines of items (crates/dispatcher/src/listing.rs)',
      ...objects(place, ['s3:GetObject']),
    },
    { neededBy: 'objects under a prefix or of a glob (crates/dispatcher/src/listing.rs)', ...list(place) },
    ...useKey(place, ['kms:Decrypt'], 'objects under a KMS key (crates/dispatcher/src/listing.rs)'),
  ];
}

/** What the worker does with inputs. */
export function workerOnInput(place: DataPlace): Permission[] {
  return [
    { neededBy: 'the bytes of a chunk (crates/worker/src/input/fetch.rs)', ...objects(place, ['s3:GetObject']) },
    // S3 says "denied" for an object that is not there to whoever may not list.
    { neededBy: 'to be told that an object is gone (crates/worker/src/input.rs)', ...list(place) },
    ...useKey(place, ['kms:Decrypt'], 'objects under a KMS key (crates/worker/src/input/fetch.rs)'),
  ];
}

/** What the dispatcher does with outputs. */
export function dispatcherOnOutput(place: DataPlace): Permission[] {
  return [
    {
      neededBy: 'whether an object is in the way (crates/dispatcher/src/submit.rs), is what a dead reducer was to write (crates/dispatcher/src/recover/reducer.rs), or is still what the workers wrote (crates/dispatcher/src/verify.rs)',
      ...objects(place, ['s3:GetObject']),
    },
    { neededBy: 'to be told that there is none (crates/dispatcher/src/submit.rs)', ...list(place) },
    {
      neededBy: 'the parts of an output that a dead reducer left (crates/gather/src/lease.rs, for crates/dispatcher/src/recover/reducer.rs)',
      ...objects(place, ['s3:AbortMultipartUpload']),
    },
    {
      neededBy: 'uploads of an output that a dead reducer began and noted nowhere, to find them (crates/gather/src/lease.rs)',
      actions: ['s3:ListBucketMultipartUploads'],
      // S3 knows no condition on the prefix for this action.
      resources: [place.bucket.bucketArn],
    },
    ...useKey(place, ['kms:Decrypt'], 'the checksum of an object under a KMS key (crates/dispatcher/src/submit.rs)'),
  ];
}

/** What the reducer does with outputs. */
export function reducerOnOutput(place: DataPlace): Permission[] {
  return [
    {
      neededBy: 'the output, in one request or in parts (crates/reducer/src/execute.rs)',
      ...objects(place, ['s3:PutObject']),
    },
    {
      neededBy: 'the parts of an output that another reducer has made (crates/store/src/concat/parts.rs)',
      ...objects(place, ['s3:ListMultipartUploadParts']),
    },
    {
      neededBy: 'whether an output is there whose answer was lost (crates/store/src/surely.rs)',
      ...objects(place, ['s3:GetObject']),
    },
    {
      neededBy: 'the parts of an output that failed, or that a dead reducer left (crates/reducer/src/execute.rs, crates/gather/src/lease.rs)',
      ...objects(place, ['s3:AbortMultipartUpload']),
    },
    // S3 decrypts the parts to put them together.
    {
      neededBy: 'uploads of an output that a dead reducer began and noted nowhere, to find them (crates/gather/src/lease.rs)',
      actions: ['s3:ListBucketMultipartUploads'],
      // S3 knows no condition on the prefix for this action.
      resources: [place.bucket.bucketArn],
    },
    ...useKey(place, ['kms:Decrypt', 'kms:GenerateDataKey'], 'an output under a KMS key (crates/reducer/src/execute.rs)'),
  ];
}

/** Reading a secret. */
export function readSecret(secret: ISecret): Permission[] {
  const neededBy = 'tasks with "credentials": true (crates/worker/src/program.rs)';
  const reading = { neededBy, actions: ['secretsmanager:GetSecretValue', 'secretsmanager:DescribeSecret'] };
  const byName = {
    resources: [`${secret.secretArn}-??????`],
    wildcard: 'the ARN of a secret that is known by its name alone ends in six characters that are not known',
  };
  const { secretFullArn: arn, encryptionKey: key } = secret;
  return [
    { ...reading, ...(arn === undefined ? byName : { resources: [arn] }) },
    ...(key ? [{ neededBy, actions: ['kms:Decrypt'], resources: [key.keyArn] }] : []),
  ];
}

/** Writing logs, into a group that is there already. */
export function writeLogs(logGroupArn: string): Permission {
  return {
    neededBy: 'the Lambda service, for what a function prints',
    actions: ['logs:CreateLogStream', 'logs:PutLogEvents'],
    // It ends with `:*`, which stands for the streams that the function's environments make.
    resources: [logGroupArn],
    wildcard: "a function's environments make their own streams, in the function's own group",
  };
}

/** Telling X-Ray. */
export const TRACE: Permission = {
  neededBy: 'the Lambda service, where tracing is asked for',
  actions: ['xray:PutTraceSegments', 'xray:PutTelemetryRecords'],
  resources: ['*'],
  wildcard: 'X-Ray has no resources that these actions could be limited to',
};

/** Network interfaces. */
export const JOIN_VPC: Permission = {
  neededBy: 'the Lambda service, where a VPC is asked for',
  actions: [
    'ec2:CreateNetworkInterface',
    'ec2:DescribeNetworkInterfaces',
    'ec2:DescribeSubnets',
    'ec2:DeleteNetworkInterface',
    'ec2:AssignPrivateIpAddresses',
    'ec2:UnassignPrivateIpAddresses',
  ],
  resources: ['*'],
  wildcard: 'the Lambda service makes and removes the interfaces, and asks for these actions on all resources',
};

/** The functions, by ARNs that are no references to them. */
export interface FunctionArns {
  readonly dispatcher: string;
  readonly worker: string;
  readonly reducer: string;
}

type Grant = Pick<Permission, 'actions' | 'resources' | 'conditions' | 'wildcard'>;

/** Invoking functions. */
export function invoke(...functionArns: string[]): Grant {
  return { actions: ['lambda:InvokeFunction'], resources: functionArns };
}

/** Sending to a queue. */
export function send(queueArn: string): Grant {
  return { actions: ['sqs:SendMessage'], resources: [queueArn] };
}

function artefacts(work: WorkPlace, actions: string[], below: string): Grant {
  const resources = [work.bucket.arnForObjects(work.prefix + below)];
  return { actions, resources, wildcard: 'the keys of artefacts are made at run time' };
}

function objects({ bucket, prefix = '' }: DataPlace, actions: string[]): Grant {
  return { actions, resources: [bucket.arnForObjects(`${prefix}*`)], wildcard: 'which objects below the prefix are meant, jobs say at run time' };
}

/**
 * Listing within the prefix. It is also what makes S3 answer 404 rather than 403 for a key that is missing, which all
 * functions rely on: S3 then evaluates `s3:ListBucket` with the key as `s3:prefix`.
 */
function list({ bucket, prefix }: DataPlace): Grant {
  const conditions = prefix ? { StringLike: { 's3:prefix': `${prefix}*` } } : undefined;
  return { actions: ['s3:ListBucket'], resources: [bucket.bucketArn], ...(conditions && { conditions }) };
}

function useKey({ bucket }: DataPlace, actions: string[], neededBy: string): Permission[] {
  const key = bucket.encryptionKey;
  return key ? [{ neededBy, actions, resources: [key.keyArn] }] : [];
}
