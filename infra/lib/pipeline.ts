import { RemovalPolicy } from 'aws-cdk-lib';
import type * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import type * as events from 'aws-cdk-lib/aws-events';
import * as iam from 'aws-cdk-lib/aws-iam';
import type * as lambda from 'aws-cdk-lib/aws-lambda';
import type * as s3 from 'aws-cdk-lib/aws-s3';
import * as scheduler from 'aws-cdk-lib/aws-scheduler';
import type * as sqs from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import { environments } from './environment';
import { makeFunctions, type PipelineFunctions } from './functions';
import type { JobDocument } from './jobs/document';
import { makeObjectRule } from './jobs/object-rule';
import { readJobs } from './jobs/read';
import { makeSchedule } from './jobs/schedule';
import { DispatcherTarget } from './jobs/targets';
import { makeTestEvents } from './jobs/test-events';
import { consoleLinks } from './links';
import { PipelineNames } from './names';
import { catchFailures, makeDeadLetters, makeSweep } from './nets';
import { makeAlarms, makeDashboard, type Alarms } from './observability';
import { makeOutputs } from './outputs';
import * as permissions from './permissions';
import { permit } from './permit';
import type { DataPlace, FanfoldPipelineProps } from './props';
import { plainPlace, workBucket, type WorkBucket } from './work-bucket';

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
    const deployed = readJobs(props, { bucket: place.work.bucket.bucketName, prefix: place.work.prefix });
    const links = consoleLinks(this, names, place.work);
    const workUri = `s3://${place.work.bucket.bucketName}/${place.work.prefix}`;
    const namespace = props.metricsNamespace ?? 'Fanfold';

    this.pipelineName = names.pipeline;
    this.workBucket = place.work.bucket;
    this.jobs = deployed.jobs;
    const told = environments(this, { names, workUri, namespace, deployed, links }, props);
    this.functions = makeFunctions(this, names, told, deployed.files, props);
    this.dispatcher = this.functions.dispatcher.function;
    this.worker = this.functions.worker.function;
    this.reducer = this.functions.reducer.function;

    this.permitAll(place, names, props);

    this.deadLetters = makeDeadLetters(this);
    catchFailures(this, this.functions, names.functionArns(this).dispatcher, this.deadLetters);
    const schedules = new scheduler.ScheduleGroup(this, 'Schedules', {
      scheduleGroupName: names.pipeline,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    this.target = new DispatcherTarget(this, this.dispatcher, this.deadLetters);
    makeSweep(this, schedules, this.target, props.sweepInterval);
    for (const { name, schedule, on_object_created: trigger } of deployed.jobs) {
      if (schedule) makeSchedule(this, name, schedule, schedules, this.target);
      if (trigger) makeObjectRule(this, name, trigger, deployed.values, this.target);
    }
    if (props.testEvents ?? false) {
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
    permit(this.functions.dispatcher.role, ...permissions.dispatcherOnInput(place));
    permit(this.functions.worker.role, ...permissions.workerOnInput(place));
  }

  /** Lets jobs write objects. */
  allowOutput(place: DataPlace): void {
    plainPlace(place);
    permit(this.functions.dispatcher.role, ...permissions.dispatcherOnOutput(place));
    permit(this.functions.reducer.role, ...permissions.reducerOnOutput(place));
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

  private permitAll({ work, input, output }: WorkBucket, names: PipelineNames, props: FanfoldPipelineProps): void {
    const { dispatcher, worker, reducer } = this.functions;
    const arns = names.functionArns(this);
    const secrets = Object.values(props.secrets ?? {});
    permit(dispatcher.role, ...permissions.dispatcherPermissions(work, arns));
    permit(worker.role, ...permissions.workerPermissions(work, arns), ...secrets.flatMap(permissions.readSecret));
    permit(reducer.role, ...permissions.reducerPermissions(work, arns));
    for (const place of [input, ...(props.inputs ?? [])]) this.allowInput(place);
    for (const place of [output, ...(props.outputs ?? [])]) this.allowOutput(place);
  }

  private known(job: string): string {
    const names = this.jobs.map(({ name }) => name);
    if (!names.includes(job)) {
      throw new Error(`there is no job '${job}' in the pipeline ${this.pipelineName}; its jobs are: ${names.join(', ') || 'none'}`);
    }
    return job;
  }
}
