import { RemovalPolicy, Stack } from 'aws-cdk-lib';
import type * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import type * as events from 'aws-cdk-lib/aws-events';
import * as iam from 'aws-cdk-lib/aws-iam';
import type * as lambda from 'aws-cdk-lib/aws-lambda';
import type * as s3 from 'aws-cdk-lib/aws-s3';
import * as scheduler from 'aws-cdk-lib/aws-scheduler';
import type * as sqs from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import { makeFunctions, workerMemoryMb, type PipelineFunctions, type Special } from './functions';
import type { JobDocument } from './jobs/document';
import { readJobs, type DeployedJobs } from './jobs/read';
import { DispatcherTarget } from './jobs/targets';
import { makeTestEvents } from './jobs/test-events';
import { makeTriggers } from './jobs/triggers';
import { consoleLinks, type Links } from './links';
import { PipelineNames, type Role } from './names';
import { catchFailures, makeDeadLetters, makeSweep } from './nets';
import { makeAlarms, makeDashboard, type Alarms } from './observability';
import { makeOutputs } from './outputs';
import * as permissions from './permissions';
import type { DataPlace, FanfoldPipelineProps } from './props';
import { plainPlace, workBucket } from './work-bucket';

/**
 * A Fanfold pipeline: a dispatcher, workers and a reducer, a bucket for what they leave, nets for what fails, and the
 * jobs of this deployment with their triggers.
 */
export class FanfoldPipeline extends Construct {
  /** What the pipeline is called. */
  readonly pipelineName: string;
  /** The bucket of the artefacts, and of `inputs/` and `outputs/`. */
  readonly workBucket: s3.IBucket;
  /** Starts jobs. */
  readonly dispatcher: lambda.Function;
  /** Runs the tasks. Grant it what your tasks use. */
  readonly worker: lambda.Function;
  /** Puts outputs together. */
  readonly reducer: lambda.Function;
  /** What nobody could handle. */
  readonly deadLetters: sqs.Queue;
  /** Failed jobs, stuck jobs, dead letters. */
  readonly alarms: Alarms;
  /** What runs and what comes out. */
  readonly dashboard: cloudwatch.Dashboard;

  private readonly functions: PipelineFunctions;
  private readonly target: DispatcherTarget;
  private readonly jobs: readonly JobDocument[];

  constructor(scope: Construct, id: string, props: FanfoldPipelineProps = {}) {
    super(scope, id);
    const names = new PipelineNames(this, props.pipelineName);
    const place = workBucket(this, props);
    const deployed = readJobs(props, place.work.bucket.bucketName);
    const links = consoleLinks(this, names, place.work);
    const workUri = `s3://${place.work.bucket.bucketName}/${place.work.prefix}`;
    const namespace = props.metricsNamespace ?? 'Fanfold';

    this.pipelineName = names.pipeline;
    this.workBucket = place.work.bucket;
    this.jobs = deployed.jobs;
    this.functions = makeFunctions(this, names, specials(this, names, workUri, namespace, deployed, links, props), props);
    this.dispatcher = this.functions.dispatcher.function;
    this.worker = this.functions.worker.function;
    this.reducer = this.functions.reducer.function;

    this.permitWork(names, place.work, props);
    for (const input of [place.input, ...(props.inputs ?? [])]) this.allowInput(input);
    for (const output of [place.output, ...(props.outputs ?? [])]) this.allowOutput(output);

    this.deadLetters = makeDeadLetters(this);
    catchFailures(this, names, this.functions, this.deadLetters);
    const schedules = new scheduler.ScheduleGroup(this, 'Schedules', {
      scheduleGroupName: names.pipeline,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    this.target = new DispatcherTarget(this, this.dispatcher, this.deadLetters);
    makeSweep(this, schedules, this.target, props.sweepInterval);
    makeTriggers(this, deployed.jobs, deployed.values, schedules, this.target);
    if (props.testEvents ?? true) {
      makeTestEvents(this, names.function('dispatcher'), deployed.jobs, deployed.values, props.createTestEventRegistry ?? false);
    }

    const watched = { names, namespace, functions: this.functions, deadLetters: this.deadLetters };
    this.alarms = makeAlarms(this, watched, props.alarmTopic);
    this.dashboard = makeDashboard(this, watched, this.alarms);
    makeOutputs(this, names, workUri, links);
  }

  /** Lets somebody start jobs, ask for their status, and all else that the dispatcher does for who invokes it. */
  grantRun(grantee: iam.IGrantable): iam.Grant {
    return iam.Grant.addToPrincipal({
      grantee,
      actions: ['lambda:InvokeFunction'],
      resourceArns: [this.dispatcher.functionArn],
    });
  }

  /** Lets jobs read objects. */
  allowInput(place: DataPlace): void {
    plainPlace(place);
    permissions.permit(this.functions.dispatcher.role, ...permissions.dispatcherOnInput(place));
    permissions.permit(this.functions.worker.role, ...permissions.workerOnInput(place));
  }

  /** Lets jobs write objects. */
  allowOutput(place: DataPlace): void {
    plainPlace(place);
    permissions.permit(this.functions.dispatcher.role, ...permissions.dispatcherOnOutput(place));
    permissions.permit(this.functions.reducer.role, ...permissions.reducerOnOutput(place));
  }

  /**
   * A deployed job as the target of a rule of your own. `patch` is merged into the job's document (RFC 7396).
   * An event that comes twice runs the job once.
   */
  jobTarget(job: string, patch?: object): events.IRuleTarget {
    return this.target.ruleOf(this.known(job), patch);
  }

  /** A deployed job as the target of a schedule of your own. A time that is sent twice runs the job once. */
  scheduleTarget(job: string): scheduler.IScheduleTarget {
    return this.target.scheduleOf(this.known(job));
  }

  private known(job: string): string {
    const names = this.jobs.map(({ name }) => name);
    if (!names.includes(job)) {
      throw new Error(`there is no job '${job}' in the pipeline ${this.pipelineName}; its jobs are: ${names.join(', ') || 'none'}`);
    }
    return job;
  }

  private permitWork(names: PipelineNames, work: permissions.WorkPlace, props: FanfoldPipelineProps): void {
    const { dispatcher, worker, reducer } = this.functions;
    const arns = (...roles: Role[]) => roles.map((role) => names.functionArn(this, role));
    const key = permissions.keyOfWork(work);
    permissions.permit(
      dispatcher.role,
      ...permissions.dispatcherOnWork(work),
      ...key,
      permissions.invoke('dispatcher: workers and itself (fan_out, recover, sweep), the reducer (gather::start_reducer)', arns('dispatcher', 'worker', 'reducer')),
    );
    permissions.permit(
      worker.role,
      ...permissions.workerOnWork(work),
      ...key,
      permissions.invoke('worker: the next partition of its lane (handle), the reducer (gather::start_reducer)', arns('worker', 'reducer')),
    );
    permissions.permit(reducer.role, ...permissions.reducerOnWork(work), ...key);
    permissions.permit(worker.role, ...Object.values(props.secrets ?? {}).flatMap(permissions.readSecret));
  }
}

/** What each function is told: the names that the Rust code reads (`fanfold config --schema` prints them). */
function specials(
  scope: Construct,
  names: PipelineNames,
  workUri: string,
  namespace: string,
  deployed: DeployedJobs,
  links: Links,
  props: FanfoldPipelineProps,
): Record<Role, Special> {
  const json = (value: unknown) => Stack.of(scope).toJsonString(value);
  const shared = {
    FANFOLD_WORK_URI: workUri,
    FANFOLD_DISPATCHER: names.function('dispatcher'),
    FANFOLD_WORKER: names.function('worker'),
    FANFOLD_REDUCER: names.function('reducer'),
    FANFOLD_METRICS_NAMESPACE: namespace,
    FANFOLD_PIPELINE: names.pipeline,
  };
  const jobFiles = deployed.jobs.map((job) => [`jobs/${job.name}.json`, `${JSON.stringify(job, undefined, 2)}\n`]);
  return {
    dispatcher: {
      environment: {
        ...shared,
        FANFOLD_WORKER_MEMORY_MB: String(workerMemoryMb(props)),
        FANFOLD_DEPLOYMENT_VALUES: json(deployed.values),
        FANFOLD_LINKS: json(links),
        ...(deployed.jobs.length > 0 && { FANFOLD_JOBS: 'jobs' }),
      },
      files: Object.fromEntries(jobFiles),
    },
    worker: {
      environment: {
        ...ofTasks(props),
        ...shared,
        FANFOLD_ALLOW_COMMANDS: String(props.allowCommands ?? false),
        ...(props.tasks && { FANFOLD_TASKS: JSON.stringify(props.tasks) }),
        ...((props.taskBundle !== undefined || props.workerImage !== undefined) && { FANFOLD_TASK_DIRECTORY: 'tasks' }),
      },
    },
    reducer: { environment: shared },
  };
}

/** The variables that tasks find: the app's own, and the ARNs of secrets. */
function ofTasks({ workerEnvironment = {}, secrets = {} }: FanfoldPipelineProps): Record<string, string> {
  const arns = Object.fromEntries(Object.entries(secrets).map(([name, secret]) => [name, secret.secretArn]));
  for (const name of [...Object.keys(workerEnvironment), ...Object.keys(secrets)]) {
    if (/^(FANFOLD_|AWS_|_|LAMBDA_)/.test(name)) {
      throw new Error(`the variable ${name} of the worker has a name that the platform or Fanfold keeps for itself; tasks would not see it`);
    }
    if (name in workerEnvironment && name in secrets) {
      throw new Error(`the variable ${name} stands in workerEnvironment and in secrets; give it once`);
    }
  }
  return { ...workerEnvironment, ...arns };
}
