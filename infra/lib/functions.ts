import { Duration, RemovalPolicy, Size, Tokenization } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import type { Construct } from 'constructs';
import * as path from 'node:path';
import { existingFolder, laidOut } from './artefacts';
import { checkBootstrap } from './bootstrap';
import { type PipelineNames, type Role } from './names';
import { JOIN_VPC, TRACE, log, permit } from './permissions';
import type { FanfoldPipelineProps, FunctionSettings } from './props';

/** A function with the role that its permissions are added to. */
export interface PipelineFunction {
  readonly function: lambda.Function;
  readonly role: iam.Role;
  readonly logGroup: logs.LogGroup;
}

export type PipelineFunctions = Readonly<Record<Role, PipelineFunction>>;

/** What a function has beyond its settings: where it differs from the other two. */
export interface Special {
  readonly environment: Readonly<Record<string, string>>;
  readonly files?: Readonly<Record<string, string>>;
}

const DEFAULT_MEMORY_MB: Readonly<Record<Role, number>> = {
  dispatcher: 512,
  // The most that every account allows. Two processes at 0.85 cores each.
  worker: 3008,
  // One core: it streams small pieces, and holds the results of all chunks.
  reducer: 1769,
};

/** The worker's memory in MB, which the dispatcher must know to plan. */
export function workerMemoryMb(props: FanfoldPipelineProps): number {
  return props.worker?.memorySize ?? DEFAULT_MEMORY_MB.worker;
}

/**
 * Lambda stops a chain of invocations that comes through the same function some 16 times. A worker goes on with its
 * lane in invocations of itself, and the dispatcher fans out by itself and tries again what failed. A chain meets the
 * reducer once for each of its three attempts.
 */
const CONTINUES_ITSELF: Readonly<Record<Role, boolean>> = { dispatcher: true, worker: true, reducer: false };

/** Lambda refuses larger environments: names and values, in bytes. */
const ENVIRONMENT_BYTES_MAX = 4096;

/** What a value that only CloudFormation knows may take of it: the longest bucket name. */
const UNKNOWN_VALUE_BYTES = 63;

/** Makes the three functions. Their permissions come later, from what they work on. */
export function makeFunctions(
  scope: Construct,
  names: PipelineNames,
  special: Readonly<Record<Role, Special>>,
  props: FanfoldPipelineProps,
): PipelineFunctions {
  const network = networkOf(scope, names, props);
  const make = (role: Role) => makeFunction(scope, role, names, special[role], network, props);
  return { dispatcher: make('dispatcher'), worker: make('worker'), reducer: make('reducer') };
}

type Network = Pick<lambda.FunctionOptions, 'vpc' | 'vpcSubnets' | 'securityGroups'>;

function networkOf(scope: Construct, names: PipelineNames, props: FanfoldPipelineProps): Network {
  const { vpc, vpcSubnets, securityGroups } = props;
  if (vpc === undefined) {
    if (vpcSubnets !== undefined || securityGroups !== undefined) {
      throw new Error('vpcSubnets and securityGroups belong to a vpc; give that too');
    }
    return {};
  }
  const made = () => new ec2.SecurityGroup(scope, 'SecurityGroup', { vpc, description: `Fanfold pipeline ${names.pipeline}: out, not in` });
  return { vpc, ...(vpcSubnets && { vpcSubnets }), securityGroups: securityGroups ?? [made()] };
}

function makeFunction(
  scope: Construct,
  role: Role,
  names: PipelineNames,
  special: Special,
  network: Network,
  props: FanfoldPipelineProps,
): PipelineFunction {
  const id = role[0]!.toUpperCase() + role.slice(1);
  const settings: FunctionSettings = props[role] ?? {};
  const logGroup = new logs.LogGroup(scope, `${id}Logs`, {
    logGroupName: names.logGroup(role),
    retention: props.logRetention ?? logs.RetentionDays.ONE_MONTH,
    removalPolicy: RemovalPolicy.DESTROY,
  });
  const executionRole = new iam.Role(scope, `${id}Role`, {
    assumedBy: new iam.ServicePrincipal('lambda.amazonaws.com'),
    description: `What the ${role} of the Fanfold pipeline ${names.pipeline} may do`,
  });
  permit(executionRole, log(logGroup.logGroupArn));
  if (props.tracing) permit(executionRole, TRACE);
  if (network.vpc) permit(executionRole, JOIN_VPC);
  const environment = { ...special.environment };
  checkEnvironment(names.function(role), environment);
  const options: lambda.FunctionOptions = {
    functionName: names.function(role),
    description: `Fanfold ${role} of the pipeline ${names.pipeline}`,
    architecture: props.architecture ?? lambda.Architecture.X86_64,
    memorySize: settings.memorySize ?? DEFAULT_MEMORY_MB[role],
    timeout: settings.timeout ?? Duration.minutes(15),
    ephemeralStorageSize: settings.ephemeralStorage ?? Size.mebibytes(512),
    ...(settings.reservedConcurrency !== undefined && { reservedConcurrentExecutions: settings.reservedConcurrency }),
    environment,
    role: executionRole,
    recursiveLoop: CONTINUES_ITSELF[role] ? lambda.RecursiveLoop.ALLOW : lambda.RecursiveLoop.TERMINATE,
    tracing: props.tracing ? lambda.Tracing.ACTIVE : lambda.Tracing.DISABLED,
    logGroup,
    loggingFormat: lambda.LoggingFormat.JSON,
    applicationLogLevelV2: props.logLevel ?? lambda.ApplicationLogLevel.INFO,
    ...network,
  };
  const made = role === 'worker' ? makeWorker(scope, id, options, special, props) : makeZip(scope, id, role, options, special, props);
  return { function: made, role: executionRole, logGroup };
}

function makeZip(
  scope: Construct,
  id: string,
  role: Role,
  options: lambda.FunctionOptions,
  special: Special,
  props: FanfoldPipelineProps,
  folders: Readonly<Record<string, string>> = {},
): lambda.Function {
  const contents = { bootstrap: bootstrapOf(role, props), folders, ...(special.files && { files: special.files }) };
  return laidOut(contents, (folder) =>
    new lambda.Function(scope, id, {
      ...options,
      runtime: lambda.Runtime.PROVIDED_AL2023,
      handler: 'bootstrap',
      code: lambda.Code.fromAsset(folder),
    }),
  );
}

function makeWorker(
  scope: Construct,
  id: string,
  options: lambda.FunctionOptions,
  special: Special,
  props: FanfoldPipelineProps,
): lambda.Function {
  const { workerImage, workerLayers, taskBundle } = props;
  const folders: Record<string, string> = taskBundle === undefined ? {} : { tasks: taskBundle };
  if (workerImage === undefined) {
    return makeZip(scope, id, 'worker', { ...options, ...(workerLayers && { layers: workerLayers }) }, special, props, folders);
  }
  if (workerLayers !== undefined) {
    throw new Error('workerLayers and workerImage exclude each other: an image takes no layers; put into it what they have');
  }
  if (typeof workerImage !== 'string') {
    if (taskBundle !== undefined) {
      throw new Error('taskBundle cannot be laid into an image that is built already; give workerImage as a folder with a Dockerfile, or put tasks/ into the image');
    }
    return new lambda.DockerImageFunction(scope, id, { ...options, code: workerImage });
  }
  const contents = { bootstrap: bootstrapOf('worker', props), folders: { '.': existingFolder(workerImage), ...folders } };
  return laidOut(contents, (folder) =>
    new lambda.DockerImageFunction(scope, id, { ...options, code: lambda.DockerImageCode.fromImageAsset(folder) }),
  );
}

/** A built program, checked: there, and for the processor that is asked for. */
function bootstrapOf(role: Role, props: FanfoldPipelineProps): string {
  const architecture = (props.architecture ?? lambda.Architecture.X86_64).name as 'x86_64' | 'arm64';
  const folder = props.bootstraps ?? path.join(__dirname, '..', 'bootstraps', architecture);
  const file = path.join(folder, role, 'bootstrap');
  checkBootstrap(file, architecture);
  return file;
}

/** Refuses at synth what Lambda would refuse in the middle of a deployment. */
function checkEnvironment(name: string, environment: Readonly<Record<string, string>>): void {
  const sizes = Object.entries(environment).map(([variable, value]) => ({ variable, bytes: Buffer.byteLength(variable) + bytesOf(value) }));
  const total = sizes.reduce((sum, { bytes }) => sum + bytes, 0);
  if (total <= ENVIRONMENT_BYTES_MAX) return;
  const largest = sizes.sort((a, b) => b.bytes - a.bytes).slice(0, 3);
  throw new Error(
    `the environment of ${name} takes ${total} bytes, and Lambda allows ${ENVIRONMENT_BYTES_MAX}; the largest variables are ` +
      largest.map(({ variable, bytes }) => `${variable} (${bytes})`).join(', '),
  );
}

function bytesOf(value: string): number {
  const fragments = Tokenization.reverseString(value).mapTokens({ mapToken: () => 'x'.repeat(UNKNOWN_VALUE_BYTES) });
  return Buffer.byteLength(fragments.join({ join: (left: string = '', right: string = '') => left + right }) ?? '');
}
