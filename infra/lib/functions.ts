import { Duration, RemovalPolicy, Size } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import type { Construct } from 'constructs';
import type { JobFiles } from './jobs/document';
import type { PipelineNames, Role } from './names';
import { JOIN_VPC, TRACE, writeLogs } from './permissions';
import { permit } from './permit';
import { architectureOf, makeProgram } from './programs';
import type { FanfoldPipelineProps } from './props';

/** A function with the role that its permissions are added to. */
export interface PipelineFunction {
  readonly function: lambda.Function;
  readonly role: iam.Role;
}

export type PipelineFunctions = Readonly<Record<Role, PipelineFunction>>;

const DEFAULT_MEMORY_MB: Readonly<Record<Role, number>> = {
  // As much as the reducer: for a redrive it reads the outcomes of all chunks, as the reducer does, and so it does to end a
  // job that no reducer could. Only the sweep makes that felt while nothing runs: some cents a month.
  dispatcher: 1769,
  // The most that every account allows. Two processes, at 0.85 cores each.
  worker: 3008,
  // One core: it streams small pieces, and holds the outcomes of all chunks.
  reducer: 1769,
};

/** The worker's memory in MB, which the dispatcher must know to plan. */
export function workerMemoryMb(props: FanfoldPipelineProps): number {
  return props.worker?.memorySize ?? DEFAULT_MEMORY_MB.worker;
}

/**
 * Lambda stops a chain of invocations that comes through the same function some 16 times. A worker goes on with its
 * lane in invocations of itself, and the dispatcher fans out by itself and tries again what failed. A reducer whose time is
 * up goes on with its upload in another invocation, as often as its own limit says (crates/flow/src/limits.rs).
 */
const CONTINUES_ITSELF: Readonly<Record<Role, boolean>> = { dispatcher: true, worker: true, reducer: true };

/** Makes the three functions. Their permissions come later, from what they work on. */
export function makeFunctions(
  scope: Construct,
  names: PipelineNames,
  environments: Readonly<Record<Role, Record<string, string>>>,
  jobs: JobFiles,
  props: FanfoldPipelineProps,
): PipelineFunctions {
  const network = networkOf(scope, names, props);
  const make = (role: Role): PipelineFunction => {
    const id = role[0]!.toUpperCase() + role.slice(1);
    const executionRole = makeRole(scope, `${id}Role`, role, names, props);
    const logGroup = new logs.LogGroup(scope, `${id}Logs`, {
      logGroupName: names.logGroup(role),
      retention: props.logRetention ?? logs.RetentionDays.ONE_MONTH,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    permit(executionRole, writeLogs(logGroup.logGroupArn));
    const options = { ...optionsOf(role, names, environments[role], props), ...network, role: executionRole, logGroup };
    return { function: makeProgram(scope, id, role, options, jobs, props), role: executionRole };
  };
  return { dispatcher: make('dispatcher'), worker: make('worker'), reducer: make('reducer') };
}

function makeRole(scope: Construct, id: string, role: Role, names: PipelineNames, props: FanfoldPipelineProps): iam.Role {
  const made = new iam.Role(scope, id, {
    assumedBy: new iam.ServicePrincipal('lambda.amazonaws.com'),
    description: `What the ${role} of the Fanfold pipeline ${names.pipeline} may do`,
  });
  if (props.tracing) permit(made, TRACE);
  if (props.vpc) permit(made, JOIN_VPC);
  return made;
}

function optionsOf(
  role: Role,
  names: PipelineNames,
  environment: Record<string, string>,
  props: FanfoldPipelineProps,
): lambda.FunctionOptions {
  const { memorySize, timeout, reservedConcurrency, ephemeralStorage } = props[role] ?? {};
  return {
    functionName: names.function(role),
    description: `Fanfold ${role} of the pipeline ${names.pipeline}`,
    architecture: architectureOf(props),
    memorySize: memorySize ?? DEFAULT_MEMORY_MB[role],
    timeout: timeout ?? Duration.minutes(15),
    ephemeralStorageSize: ephemeralStorage ?? Size.mebibytes(512),
    ...(reservedConcurrency !== undefined && { reservedConcurrentExecutions: reservedConcurrency }),
    environment,
    recursiveLoop: CONTINUES_ITSELF[role] ? lambda.RecursiveLoop.ALLOW : lambda.RecursiveLoop.TERMINATE,
    tracing: props.tracing ? lambda.Tracing.ACTIVE : lambda.Tracing.DISABLED,
    loggingFormat: lambda.LoggingFormat.JSON,
    applicationLogLevelV2: lambdaLogLevel(props),
  };
}

function networkOf(
  scope: Construct,
  names: PipelineNames,
  { vpc, vpcSubnets, securityGroups }: FanfoldPipelineProps,
): Pick<lambda.FunctionOptions, 'vpc' | 'vpcSubnets' | 'securityGroups'> {
  if (vpc === undefined) {
    if (vpcSubnets !== undefined || securityGroups !== undefined) {
      throw new Error('vpcSubnets and securityGroups belong to a vpc; give that too');
    }
    return {};
  }
  const description = `Fanfold pipeline ${names.pipeline}: everything out, nothing in`;
  const groups = securityGroups ?? [new ec2.SecurityGroup(scope, 'SecurityGroup', { vpc, description })];
  return { vpc, securityGroups: groups, ...(vpcSubnets && { vpcSubnets }) };
}

/**
 * What Lambda itself lets through. Lines of metrics have no level, and Lambda takes them for INFO: with any higher level
 * they, and the alarms over them, would be silent for ever. The programs leave out what is below the wish themselves.
 */
function lambdaLogLevel({ logLevel }: FanfoldPipelineProps): lambda.ApplicationLogLevel {
  const lower = [lambda.ApplicationLogLevel.TRACE, lambda.ApplicationLogLevel.DEBUG];
  return logLevel !== undefined && lower.includes(logLevel) ? logLevel : lambda.ApplicationLogLevel.INFO;
}
