import { Validations } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import type { ISecret } from 'aws-cdk-lib/aws-secretsmanager';
import type { DataPlace } from './props';

/**
 * Something that a function may do, and the code that needs it. Nothing else is granted: no managed policy, no
 * `grantRead` that brings more than was asked for.
 */
export interface Permission {
  /** The code that makes the request. */
  readonly neededBy: string;
  readonly actions: readonly string[];
  readonly resources: readonly string[];
  readonly conditions?: Record<string, Record<string, unknown>>;
  /** Why a resource has a `*`. Without a reason it may have none. */
  readonly wildcard?: string;
}

/** Where the artefacts of the jobs are. */
export interface WorkPlace extends DataPlace {
  readonly prefix: string;
}

const MADE_AT_RUN_TIME = 'the keys below the prefix are made at run time';
const NAMED_BY_JOBS = 'which objects below the prefix are meant, the jobs say at run time';

/** What the dispatcher does with the artefacts. */
export function dispatcherOnWork(work: WorkPlace): Permission[] {
  return [
    {
      neededBy: 'dispatcher: job.json, plan.json and result.json of a job (submit, fan_out, status), done records, groups and attempts (recover, sweep)',
      ...artefacts(work, ['s3:GetObject'], '*'),
    },
    {
      neededBy: 'dispatcher: job.json, plan.json and the marker (submit); done records, groups and result.json for those who died (recover, sweep)',
      ...artefacts(work, ['s3:PutObject'], '*'),
    },
    {
      neededBy: 'dispatcher: the marker of a job that has ended (submit, gather::finish)',
      ...artefacts(work, ['s3:DeleteObject'], 'active/*'),
    },
    {
      neededBy: 'dispatcher: markers (sweep), done records, groups and attempts (recover, status, gather::advance); NotFound instead of Denied for what is missing',
      ...list(work),
    },
  ];
}

/** What the worker does with the artefacts. */
export function workerOnWork(work: WorkPlace): Permission[] {
  return [
    {
      neededBy: 'worker: job.json (handle), plan.json (gather::Lane), claims and done records of others (gather::claim_attempt, commit, advance)',
      ...artefacts(work, ['s3:GetObject'], '*'),
    },
    {
      neededBy: 'worker: chunk results, also as multipart uploads (output), claims, done records, groups (gather)',
      ...artefacts(work, ['s3:PutObject'], 'jobs/*'),
    },
    {
      neededBy: 'worker: chunk results of an attempt that came second (handle::delete_results)',
      ...artefacts(work, ['s3:DeleteObject'], 'jobs/*/chunks/*'),
    },
    {
      neededBy: 'worker: the upload of a result that does not count (output::abort)',
      ...artefacts(work, ['s3:AbortMultipartUpload'], 'jobs/*/chunks/*'),
    },
    {
      neededBy: 'worker: done records and groups (gather::advance); NotFound instead of Denied for what is missing',
      ...list(work),
    },
  ];
}

/** What the reducer does with the artefacts. */
export function reducerOnWork(work: WorkPlace): Permission[] {
  return [
    {
      neededBy: 'reducer: job.json, plan.json, groups, lease, result.json (handle, lease), chunk results, streamed or as the source of UploadPartCopy (execute)',
      ...artefacts(work, ['s3:GetObject'], '*'),
    },
    {
      neededBy: 'reducer: lease.json, concat.json, result.json (lease, handle, gather::finish)',
      ...artefacts(work, ['s3:PutObject'], 'jobs/*'),
    },
    {
      neededBy: 'reducer: chunk results when the output is complete (handle::clean_up)',
      ...artefacts(work, ['s3:DeleteObject'], 'jobs/*/chunks/*'),
    },
    {
      neededBy: 'reducer: the marker of the job (gather::finish)',
      ...artefacts(work, ['s3:DeleteObject'], 'active/*'),
    },
    {
      neededBy: 'reducer: uploads of chunk results that dead workers left (handle::clean_up)',
      ...artefacts(work, ['s3:AbortMultipartUpload'], 'jobs/*/chunks/*'),
    },
    {
      neededBy: 'reducer: the same uploads, to find them (handle::clean_up)',
      actions: ['s3:ListBucketMultipartUploads'],
      // S3 knows no condition on the prefix for this action.
      resources: [work.bucket.bucketArn],
    },
    {
      neededBy: 'reducer: chunk results to delete (handle::clean_up); NotFound instead of Denied for what is missing',
      ...list(work),
    },
  ];
}

/** What the dispatcher does with inputs. */
export function dispatcherOnInput(place: DataPlace): Permission[] {
  return [
    {
      neededBy: 'dispatcher: size and etag of an object, the header of a CSV, the lines of items (listing)',
      ...objects(place, ['s3:GetObject']),
    },
    {
      neededBy: 'dispatcher: objects under a prefix or of a glob (listing); NotFound instead of Denied for what is missing',
      ...list(place),
    },
    ...decrypt(place, 'dispatcher: objects that are encrypted with a KMS key (listing)'),
  ];
}

/** What the worker does with inputs. */
export function workerOnInput(place: DataPlace): Permission[] {
  return [
    { neededBy: 'worker: the bytes of a chunk (input::fetch)', ...objects(place, ['s3:GetObject']) },
    ...decrypt(place, 'worker: objects that are encrypted with a KMS key (input::fetch)'),
  ];
}

/** What the dispatcher does with outputs. */
export function dispatcherOnOutput(place: DataPlace): Permission[] {
  return [
    {
      neededBy: 'dispatcher: whether there is an object that must not be replaced (submit::output_is_free, a HEAD)',
      ...objects(place, ['s3:GetObject']),
    },
    {
      neededBy: 'dispatcher: NotFound instead of Denied where there is none (submit::output_is_free)',
      ...list(place),
    },
    ...decrypt(place, 'dispatcher: a HEAD that asks for the checksum of an object that is encrypted with a KMS key'),
  ];
}

/** What the reducer does with outputs. */
export function reducerOnOutput(place: DataPlace): Permission[] {
  return [
    {
      neededBy: 'reducer: the output, in one request or as a multipart upload with copied parts (execute)',
      ...objects(place, ['s3:PutObject']),
    },
    {
      neededBy: 'reducer: size and checksum of an output whose answer was lost (store::surely, a HEAD)',
      ...objects(place, ['s3:GetObject']),
    },
    {
      neededBy: 'reducer: the unfinished output of a reducer that died or failed (lease, execute)',
      ...objects(place, ['s3:AbortMultipartUpload']),
    },
    ...encrypt(place, 'reducer: an output that is encrypted with a KMS key; S3 decrypts its parts to put them together'),
  ];
}

/** The use of the work bucket's KMS key, the same for all three functions. */
export function keyOfWork(work: WorkPlace): Permission[] {
  return encrypt(work, 'all: artefacts that are encrypted with a KMS key');
}

/** Invoking functions, asynchronously. */
export function invoke(neededBy: string, functionArns: string[]): Permission {
  return { neededBy, actions: ['lambda:InvokeFunction'], resources: functionArns };
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
  wildcard: 'the Lambda service makes and removes the interfaces itself, and checks for these actions on all resources',
};

/** Writing logs, into one group that is there already. */
export function log(logGroupArn: string): Permission {
  return {
    neededBy: 'the Lambda service, for what a function prints',
    actions: ['logs:CreateLogStream', 'logs:PutLogEvents'],
    // The ARN of a log group ends with `:*`, which stands for its streams.
    resources: [logGroupArn],
    wildcard: "a function's environments make their own log streams, within the function's own group",
  };
}

/** Reading a secret. */
export function readSecret(secret: ISecret): Permission[] {
  const neededBy = 'tasks with "credentials": true';
  const permission = { neededBy, actions: ['secretsmanager:GetSecretValue', 'secretsmanager:DescribeSecret'] };
  const whole = secret.secretFullArn;
  return [
    whole !== undefined
      ? { ...permission, resources: [whole] }
      : {
          ...permission,
          resources: [`${secret.secretArn}-??????`],
          wildcard: 'the ARN of a secret that is known by its name alone ends in six characters that are not known',
        },
    ...(secret.encryptionKey ? [{ neededBy, actions: ['kms:Decrypt'], resources: [secret.encryptionKey.keyArn] }] : []),
  ];
}

/** Grants what is listed, and tells cdk-nag the reason of each `*`. */
export function permit(role: iam.Role, ...permissions: Permission[]): void {
  for (const permission of permissions) {
    const wild = [...permission.actions, ...permission.resources].filter((text) => /[*?]/.test(text));
    if (wild.length > 0 && permission.wildcard === undefined) {
      throw new Error(`${wild.join(', ')} has a wildcard without a reason (${permission.neededBy})`);
    }
    if (permission.wildcard !== undefined) {
      Validations.of(role).acknowledge({ id: 'AwsSolutions-IAM5', reason: permission.wildcard });
    }
    role.addToPolicy(
      new iam.PolicyStatement({
        actions: [...permission.actions],
        resources: [...permission.resources],
        ...(permission.conditions && { conditions: permission.conditions }),
      }),
    );
  }
}

function artefacts(work: WorkPlace, actions: string[], below: string): Pick<Permission, 'actions' | 'resources' | 'wildcard'> {
  return { actions, resources: [work.bucket.arnForObjects(work.prefix + below)], wildcard: MADE_AT_RUN_TIME };
}

function objects({ bucket, prefix = '' }: DataPlace, actions: string[]): Pick<Permission, 'actions' | 'resources' | 'wildcard'> {
  return { actions, resources: [bucket.arnForObjects(`${prefix}*`)], wildcard: NAMED_BY_JOBS };
}

/**
 * Listing within the prefix. It is also what makes S3 answer 404 rather than 403 for a key that is missing: S3 then
 * evaluates `s3:ListBucket` with the key as `s3:prefix`.
 */
function list({ bucket, prefix }: DataPlace): Pick<Permission, 'actions' | 'resources' | 'conditions'> {
  const conditions = prefix ? { StringLike: { 's3:prefix': `${prefix}*` } } : undefined;
  return { actions: ['s3:ListBucket'], resources: [bucket.bucketArn], ...(conditions && { conditions }) };
}

function decrypt(place: DataPlace, neededBy: string): Permission[] {
  return keyOf(place).map((key) => ({ neededBy, actions: ['kms:Decrypt'], resources: [key.keyArn] }));
}

function encrypt(place: DataPlace, neededBy: string): Permission[] {
  return keyOf(place).map((key) => ({
    neededBy,
    actions: ['kms:Decrypt', 'kms:GenerateDataKey'],
    resources: [key.keyArn],
  }));
}

function keyOf({ bucket }: DataPlace): IKey[] {
  return bucket.encryptionKey ? [bucket.encryptionKey] : [];
}
