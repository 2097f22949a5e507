import type { Duration, RemovalPolicy, Size } from 'aws-cdk-lib';
import type * as ec2 from 'aws-cdk-lib/aws-ec2';
import type * as kms from 'aws-cdk-lib/aws-kms';
import type * as lambda from 'aws-cdk-lib/aws-lambda';
import type * as logs from 'aws-cdk-lib/aws-logs';
import type * as s3 from 'aws-cdk-lib/aws-s3';
import type * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import type * as sns from 'aws-cdk-lib/aws-sns';

/** Objects below a prefix of a bucket. */
export interface DataPlace {
  /** The bucket. If CDK knows its KMS key (`encryptionKey`), the use of the key is granted too. */
  readonly bucket: s3.IBucket;
  /**
   * What the keys begin with, such as `orders/`. No `*`, `?` or `$`: they mean something else in a policy.
   * @default - the whole bucket
   */
  readonly prefix?: string;
}

/** How one of the three functions is sized. */
export interface FunctionSettings {
  /**
   * Memory in MB, 128 to 10,240. 1,769 MB are one core.
   * @default - dispatcher and reducer 1769, worker 3008 (the most that every account allows; two processes)
   */
  readonly memorySize?: number;
  /**
   * Longest time of one invocation. A long one costs nothing until it is used.
   * @default Duration.minutes(15)
   */
  readonly timeout?: Duration;
  /**
   * How many invocations may run at once; taken out of the account's concurrency.
   * @default - no limit but the account's
   */
  readonly reservedConcurrency?: number;
  /**
   * Size of /tmp, 512 MiB to 10 GiB.
   * @default Size.mebibytes(512)
   */
  readonly ephemeralStorage?: Size;
}

/** A job as an object of the CDK app. Its texts may hold tokens, such as `s3://${bucket.bucketName}/orders/`. */
export type InlineJob = Readonly<Record<string, unknown>>;

/** A worker whose `main` is `fanfold_worker::main(tasks)`. */
export interface WorkerProgram {
  /** The built program, such as `infra/build-bootstraps x86_64 my-worker` makes: for the functions' processor, and Lambda's glibc. */
  readonly bootstrap: string;

  /** The names of its tasks, which jobs may name as they may those of `tasks`. */
  readonly tasks: readonly string[];
}

/** Everything about a pipeline that may be chosen. All of it has a default. */
export interface FanfoldPipelineProps {
  /**
   * What the pipeline is called: its functions are `<name>-dispatcher`, `<name>-worker` and `<name>-reducer`.
   * At most 50 letters, digits, `-` or `_`; unique in account and region.
   * @default - the stack's name and the construct's id
   */
  readonly pipelineName?: string;

  /**
   * The processor of all three functions. The bootstraps must be built for it.
   * @default lambda.Architecture.X86_64
   */
  readonly architecture?: lambda.Architecture;

  /**
   * The folder with the built programs: `dispatcher/bootstrap`, `worker/bootstrap`, `reducer/bootstrap`.
   * @default - the folder that the CDK context `bootstraps` names, else `bootstraps/<x86_64|arm64>` of this package, where
   * `build-bootstraps` puts them
   */
  readonly bootstraps?: string;

  /**
   * The dispatcher's size.
   * @default - see FunctionSettings
   */
  readonly dispatcher?: FunctionSettings;

  /**
   * The worker's size. Its memory says how many processes it runs at once: one a core.
   * @default - see FunctionSettings
   */
  readonly worker?: FunctionSettings;

  /**
   * The reducer's size.
   * @default - see FunctionSettings
   */
  readonly reducer?: FunctionSettings;

  /**
   * The bucket for the jobs' artefacts (`work/`), and for what jobs read below `inputs/` and write below `outputs/`.
   * A bucket of your own keeps its own lifecycle, encryption and notices: expire `work/` after some weeks, and abort
   * unfinished uploads after a day.
   * @default - a bucket is made: encrypted, over TLS only, not public, with EventBridge notices and a lifecycle
   */
  readonly workBucket?: s3.IBucket;

  /**
   * The prefix of the artefacts, ending with `/`. Pipelines that share a bucket need one each.
   * @default 'work/'
   */
  readonly workPrefix?: string;

  /**
   * The KMS key of the bucket that is made. Each request then costs a KMS request too.
   * @default - SSE-S3
   */
  readonly encryptionKey?: kms.IKey;

  /**
   * How long the bucket that is made keeps the artefacts of a job. Outputs are kept for ever.
   * @default Duration.days(30)
   */
  readonly keepJobData?: Duration;

  /**
   * What becomes of the bucket that is made when the stack is deleted.
   * @default RemovalPolicy.RETAIN
   */
  readonly removalPolicy?: RemovalPolicy;

  /**
   * What jobs may read besides `inputs/` of the work bucket. More can be added with `allowInput`.
   * @default - nothing
   */
  readonly inputs?: DataPlace[];

  /**
   * Where jobs may write besides `outputs/` of the work bucket. More can be added with `allowOutput`.
   * @default - nowhere
   */
  readonly outputs?: DataPlace[];

  /**
   * The tasks that jobs may name, those of events too, and the program and arguments of each. They run in the folder of
   * the task bundle, as do the commands of this deployment's own jobs.
   * @default - none
   */
  readonly tasks?: Readonly<Record<string, readonly string[]>>;

  /**
   * A worker of your own, which has tasks in Rust in itself.
   * @default - the worker that only runs programs
   */
  readonly workerProgram?: WorkerProgram;

  /**
   * A folder that is laid into the worker as `tasks/`: programs, scripts, data. Files keep their execute bit.
   * @default - none
   */
  readonly taskBundle?: string;

  /**
   * Layers of the worker, for what tasks need under /opt.
   * @default - none
   */
  readonly workerLayers?: lambda.ILayerVersion[];

  /**
   * A container image for the worker, for tasks that need more than the system of a zip function has (Python, say).
   * Either a folder with a `Dockerfile`, to which the worker's `bootstrap` and the task bundle (`tasks/`) are added
   * before it is built, or an image that has both already.
   * @default - the worker is a zip on provided.al2023
   */
  readonly workerImage?: string | lambda.DockerImageCode;

  /**
   * Variables for the environment of the worker, which tasks see. None may begin with `FANFOLD_`.
   * @default - none
   */
  readonly workerEnvironment?: Readonly<Record<string, string>>;

  /**
   * Secrets that tasks may read: variable to secret. The variable holds the ARN, never the value; a task reads the
   * secret with the worker's credentials (`"credentials": true` in the job's task).
   * @default - none
   */
  readonly secrets?: Readonly<Record<string, secretsmanager.ISecret>>;

  /**
   * Whether a job that comes with an event may bring a command, or an environment or credentials for a task, which comes
   * to the same. Whoever may start jobs may then run any program in the worker. The jobs of this deployment may have all
   * of it in any case.
   * @default false
   */
  readonly allowCommands?: boolean;

  /**
   * The jobs of this deployment: a folder of `*.json`, files, or objects.
   * @default - none
   */
  readonly jobs?: string | ReadonlyArray<string | InlineJob>;

  /**
   * Values for `{deployment.NAME}` in jobs. `bucket`, the work bucket's name, is always there.
   * @default - only `bucket`
   */
  readonly deploymentValues?: Readonly<Record<string, string>>;

  /**
   * How often unfinished jobs are looked at for what no function reports: whole minutes.
   * @default Duration.minutes(1)
   */
  readonly sweepInterval?: Duration;

  /**
   * The VPC of the three functions. It needs a way to S3 and to Lambda: endpoints or a NAT gateway.
   * @default - no VPC
   */
  readonly vpc?: ec2.IVpc;

  /**
   * The subnets of the VPC.
   * @default - private subnets with egress
   */
  readonly vpcSubnets?: ec2.SubnetSelection;

  /**
   * The functions' security groups in the VPC.
   * @default - one is made that lets everything out and nothing in
   */
  readonly securityGroups?: ec2.ISecurityGroup[];

  /**
   * Whether X-Ray traces the functions.
   * @default false
   */
  readonly tracing?: boolean;

  /**
   * How long logs are kept.
   * @default logs.RetentionDays.ONE_MONTH
   */
  readonly logRetention?: logs.RetentionDays;

  /**
   * The least level of the functions' own log lines. What programs print counts as INFO. Metrics are not concerned.
   * @default lambda.ApplicationLogLevel.INFO
   */
  readonly logLevel?: lambda.ApplicationLogLevel;

  /**
   * The CloudWatch namespace of the metrics.
   * @default 'Fanfold'
   */
  readonly metricsNamespace?: string;

  /**
   * Who is told when an alarm goes off.
   * @default - nobody; the alarms are there all the same
   */
  readonly alarmTopic?: sns.ITopic;

  /**
   * Whether the console's shareable test events are made: one for each job, one for help, one for a status. Their registry
   * (`lambda-testevent-schemas`, one for each account and region) must be there: `createTestEventRegistry` says how.
   * @default false
   */
  readonly testEvents?: boolean;

  /**
   * Whether the registry of test events is made by this stack, and kept when the stack is deleted. It must not be there
   * yet: `aws schemas create-registry --registry-name lambda-testevent-schemas` makes it too, and so does the first
   * shareable test event that anybody saves in the console.
   * @default false
   */
  readonly createTestEventRegistry?: boolean;
}
