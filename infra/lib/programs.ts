import { Stack } from 'aws-cdk-lib';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import type { Construct } from 'constructs';
import * as path from 'node:path';
import { JOBS_FOLDER, TASKS_FOLDER, existingFolder, laidOut, type Contents } from './artefacts';
import { checkBootstrap, type BootstrapArchitecture } from './bootstrap';
import type { JobFiles } from './jobs/document';
import type { Role } from './names';
import type { FanfoldPipelineProps } from './props';

/** Lambda refuses larger environments: names and values together, in bytes. */
const ENVIRONMENT_BYTES_MAX = 4096;

/** What a value that only CloudFormation knows may take of it: the longest bucket name. */
const UNKNOWN_VALUE_BYTES = 63;

/** The processor of the functions. */
export function architectureOf(props: FanfoldPipelineProps): lambda.Architecture {
  return props.architecture ?? lambda.Architecture.X86_64;
}

/** Makes a function of its built program and of what is laid beside that: jobs, or the tasks' own files. */
export function makeProgram(
  scope: Construct,
  id: string,
  role: Role,
  options: lambda.FunctionOptions,
  jobs: JobFiles,
  props: FanfoldPipelineProps,
): lambda.Function {
  checkEnvironment(scope, options);
  if (role === 'worker') return makeWorker(scope, id, options, props);
  const files = role === 'dispatcher' ? Object.entries(jobs).map(([name, text]) => [`${JOBS_FOLDER}/${name}.json`, text]) : [];
  return makeZip(scope, id, options, { bootstrap: bootstrapOf(scope, role, props), files: Object.fromEntries(files) });
}

function makeZip(scope: Construct, id: string, options: lambda.FunctionOptions, contents: Contents): lambda.Function {
  return laidOut(contents, (folder) => {
    const code = lambda.Code.fromAsset(folder);
    return new lambda.Function(scope, id, { ...options, runtime: lambda.Runtime.PROVIDED_AL2023, handler: 'bootstrap', code });
  });
}

function makeWorker(scope: Construct, id: string, options: lambda.FunctionOptions, props: FanfoldPipelineProps): lambda.Function {
  const { workerImage, workerLayers, taskBundle } = props;
  if (workerImage !== undefined && workerLayers !== undefined) {
    throw new Error('workerLayers and workerImage exclude each other: an image takes no layers; put into it what they have');
  }
  if (workerImage !== undefined && typeof workerImage !== 'string') {
    if (taskBundle === undefined) return new lambda.DockerImageFunction(scope, id, { ...options, code: workerImage });
    throw new Error('taskBundle cannot be laid into an image that is there already; give workerImage as a folder with a Dockerfile');
  }
  const bootstrap = bootstrapOf(scope, 'worker', props);
  const folders: Record<string, string> = taskBundle === undefined ? {} : { [TASKS_FOLDER]: existingFolder(taskBundle) };
  if (workerImage === undefined) {
    return makeZip(scope, id, { ...options, ...(workerLayers && { layers: workerLayers }) }, { bootstrap, folders });
  }
  return laidOut({ bootstrap, folders: { '.': existingFolder(workerImage), ...folders } }, (folder) => {
    const code = lambda.DockerImageCode.fromImageAsset(folder);
    return new lambda.DockerImageFunction(scope, id, { ...options, code });
  });
}

/** A built program, checked: that it is there, and that it can run on Lambda's processor and system. */
function bootstrapOf(scope: Construct, role: Role, props: FanfoldPipelineProps): string {
  const architecture = architectureOf(props).name as BootstrapArchitecture;
  const fromContext: string | undefined = scope.node.tryGetContext('bootstraps');
  const folder = props.bootstraps ?? fromContext ?? path.join(__dirname, '..', 'bootstraps', architecture);
  const own = role === 'worker' ? props.workerProgram?.bootstrap : undefined;
  const file = own ?? path.join(folder, role, 'bootstrap');
  checkBootstrap(file, architecture);
  return file;
}

/** Refuses at synth what Lambda would refuse in the middle of a deployment. */
function checkEnvironment(scope: Construct, { functionName, environment = {} }: lambda.FunctionOptions): void {
  const bytesOf = (value: string) => bytesOfResolved(Stack.of(scope).resolve(value));
  const sizes = Object.entries(environment).map(([name, value]) => ({ name, bytes: Buffer.byteLength(name) + bytesOf(value) }));
  const total = sizes.reduce((sum, { bytes }) => sum + bytes, 0);
  if (total <= ENVIRONMENT_BYTES_MAX) return;
  const largest = sizes.sort((one, other) => other.bytes - one.bytes).slice(0, 3);
  throw new Error(
    `the environment of ${functionName} takes ${total} bytes, and Lambda allows ${ENVIRONMENT_BYTES_MAX}; the largest variables are ` +
      largest.map(({ name, bytes }) => `${name} (${bytes})`).join(', '),
  );
}

function bytesOfResolved(value: string | { 'Fn::Join'?: [string, (string | object)[]] }): number {
  if (typeof value === 'string') return Buffer.byteLength(value);
  const parts = value['Fn::Join']?.[1];
  return parts ? parts.reduce((sum: number, part) => sum + bytesOfResolved(part as string), 0) : UNKNOWN_VALUE_BYTES;
}
