import { Stack } from 'aws-cdk-lib';
import { ApplicationLogLevel } from 'aws-cdk-lib/aws-lambda';
import type { Construct } from 'constructs';
import { JOBS_FOLDER, TASKS_FOLDER } from './artefacts';
import { workerMemoryMb } from './functions';
import type { DeployedJobs } from './jobs/read';
import type { Links } from './links';
import type { PipelineNames, Role } from './names';
import type { FanfoldPipelineProps } from './props';

/** What the environments are made of. */
export interface Told {
  readonly names: PipelineNames;
  readonly workUri: string;
  readonly namespace: string;
  readonly deployed: DeployedJobs;
  readonly links: Links;
}

/** What each function finds in its environment: just what its code reads, as `fanfold config --schema` prints it. */
export function environments(scope: Construct, told: Told, props: FanfoldPipelineProps): Record<Role, Record<string, string>> {
  const { names, deployed } = told;
  const json = (value: unknown) => Stack.of(scope).toJsonString(value);
  const shared = {
    FANFOLD_WORK_URI: told.workUri,
    FANFOLD_DISPATCHER: names.function('dispatcher'),
    FANFOLD_WORKER: names.function('worker'),
    FANFOLD_REDUCER: names.function('reducer'),
    FANFOLD_METRICS_NAMESPACE: told.namespace,
    FANFOLD_PIPELINE: names.pipeline,
    ...(props.logLevel && { FANFOLD_LOG: logFilter(props.logLevel) }),
  };
  const hasTaskFolder = props.taskBundle !== undefined || props.workerImage !== undefined;
  return {
    dispatcher: {
      ...shared,
      FANFOLD_WORKER_MEMORY_MB: String(workerMemoryMb(props)),
      FANFOLD_DEPLOYMENT_VALUES: json(deployed.values),
      FANFOLD_LINKS: json(told.links),
      ...(deployed.jobs.length > 0 && { FANFOLD_JOBS: JOBS_FOLDER }),
    },
    worker: {
      ...forTasks(props),
      ...shared,
      FANFOLD_ALLOW_COMMANDS: String(props.allowCommands ?? false),
      ...(props.tasks && { FANFOLD_TASKS: JSON.stringify(props.tasks) }),
      ...(hasTaskFolder && { FANFOLD_TASK_DIRECTORY: TASKS_FOLDER }),
    },
    reducer: shared,
  };
}

/** The level by the name that the programs have for it: their highest is `error`. */
function logFilter(level: ApplicationLogLevel): string {
  return level === ApplicationLogLevel.FATAL ? 'error' : level.toLowerCase();
}

/** The variables that tasks find: the app's own, and the ARNs of secrets. */
function forTasks({ workerEnvironment = {}, secrets = {} }: FanfoldPipelineProps): Record<string, string> {
  for (const name of [...Object.keys(workerEnvironment), ...Object.keys(secrets)]) {
    if (/^(FANFOLD_|AWS_|_|LAMBDA_)/.test(name)) {
      throw new Error(`the worker's variable ${name} has a name that Lambda or Fanfold keeps for itself: tasks would not see it`);
    }
    if (name in workerEnvironment && name in secrets) {
      throw new Error(`the worker's variable ${name} stands in workerEnvironment and in secrets: give it once`);
    }
  }
  const arns = Object.entries(secrets).map(([name, secret]) => [name, secret.secretArn]);
  return { ...workerEnvironment, ...Object.fromEntries(arns) };
}
