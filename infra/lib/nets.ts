import { Duration, RemovalPolicy } from 'aws-cdk-lib';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as scheduler from 'aws-cdk-lib/aws-scheduler';
import * as sqs from 'aws-cdk-lib/aws-sqs';
import type { Construct } from 'constructs';
import { acknowledge } from './acknowledge';
import type { PipelineFunctions } from './functions';
import { invoke, send } from './permissions';
import { permit } from './permit';
import type { DispatcherTarget } from './jobs/targets';

/** The name of the sweep's schedule in the pipeline's group; no job with a schedule may have it. */
export const SWEEP = 'sweep';

/** Where an event ends that nobody could handle: a trigger that never reached the dispatcher, or one that it failed. */
export function makeDeadLetters(scope: Construct): sqs.Queue {
  const queue = new sqs.Queue(scope, 'DeadLetters', {
    encryption: sqs.QueueEncryption.SQS_MANAGED,
    enforceSSL: true,
    retentionPeriod: Duration.days(14),
    // The letters say what was lost; a deployment that goes away has told.
    removalPolicy: RemovalPolicy.DESTROY,
  });
  acknowledge(queue, 'SQS3', 'this is the dead-letter queue itself, of the dispatcher, the schedules and the rules');
  return queue;
}

/**
 * Who is told when an asynchronous invocation ends without success. The worker and the reducer are tried again by the
 * dispatcher, which counts the attempts, and never by Lambda itself, which would not. The dispatcher is tried again by
 * Lambda: every event of its can come twice.
 */
export function catchFailures(scope: Construct, functions: PipelineFunctions, dispatcherArn: string, deadLetters: sqs.Queue): void {
  const { dispatcher, worker, reducer } = functions;
  const neededBy = 'the Lambda service, for the on-failure destination';
  permit(dispatcher.role, { neededBy, ...send(deadLetters.queueArn) });
  onFailure(scope, 'DispatcherFailures', dispatcher.function, 2, deadLetters.queueArn);
  permit(worker.role, { neededBy, ...invoke(dispatcherArn) });
  onFailure(scope, 'WorkerFailures', worker.function, 0, dispatcher.function.functionArn);
  permit(reducer.role, { neededBy, ...invoke(dispatcherArn) });
  onFailure(scope, 'ReducerFailures', reducer.function, 0, dispatcher.function.functionArn);
}

function onFailure(scope: Construct, id: string, failing: lambda.Function, retries: number, destination: string): void {
  // Not CDK's own destination: that would grant the use of every version of the function that it names.
  const config = new lambda.CfnEventInvokeConfig(scope, id, {
    functionName: failing.functionName,
    qualifier: '$LATEST',
    maximumRetryAttempts: retries,
    maximumEventAgeInSeconds: Duration.hours(6).toSeconds(),
    destinationConfig: { onFailure: { destination } },
  });
  // Lambda checks the role's permissions when the destination is set.
  config.node.addDependency(failing);
}

/** Looks at unfinished jobs again and again, for what no failure reports: a partition that never started, a lease that ran out. */
export function makeSweep(
  scope: Construct,
  group: scheduler.IScheduleGroup,
  target: DispatcherTarget,
  interval: Duration = Duration.minutes(1),
): void {
  const minutes = interval.toMinutes({ integral: false });
  if (!Number.isInteger(minutes) || minutes < 1) {
    throw new Error(`sweepInterval must be whole minutes, at least one, not ${interval.toSeconds()} s: EventBridge Scheduler knows nothing shorter`);
  }
  new scheduler.Schedule(scope, 'Sweep', {
    scheduleName: SWEEP,
    scheduleGroup: group,
    description: 'Fanfold: finds what got stuck',
    schedule: scheduler.ScheduleExpression.rate(interval),
    // A sweep that is late is not needed: the next one comes.
    target: target.with({ sweep: {} }, { maximumEventAgeInSeconds: 60, maximumRetryAttempts: 0 }),
  });
}
