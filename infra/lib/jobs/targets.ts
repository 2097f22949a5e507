import { Duration, Lazy, Stack } from 'aws-cdk-lib';
import * as events from 'aws-cdk-lib/aws-events';
import * as targets from 'aws-cdk-lib/aws-events-targets';
import * as iam from 'aws-cdk-lib/aws-iam';
import type * as lambda from 'aws-cdk-lib/aws-lambda';
import * as scheduler from 'aws-cdk-lib/aws-scheduler';
import type * as sqs from 'aws-cdk-lib/aws-sqs';
import type { Construct } from 'constructs';
import { invoke, send } from '../permissions';
import { permit } from '../permit';

/**
 * How long and how often a trigger that does not reach the dispatcher is sent again before it becomes a dead letter.
 * A nightly job that starts an hour late is still wanted; one that starts a day late would meet the next.
 */
const TRIGGER_AGE_MAX = Duration.hours(6);
const TRIGGER_RETRIES = 185;

/** The dispatcher as the target of schedules and rules, with dead letters. */
export class DispatcherTarget {
  private readonly role: iam.Role;
  private readonly groupArns = new Set<string>();

  constructor(
    private readonly scope: Construct,
    private readonly dispatcher: lambda.Function,
    private readonly deadLetters: sqs.IQueue,
  ) {
    // Only schedules of this account, in the groups that were bound, may have Scheduler act by this role.
    this.role = new iam.Role(scope, 'SchedulerRole', {
      description: 'What EventBridge Scheduler may do for a Fanfold pipeline: invoke its dispatcher',
      assumedBy: new iam.ServicePrincipal('scheduler.amazonaws.com', {
        conditions: {
          StringEquals: {
            'aws:SourceAccount': Stack.of(scope).account,
            'aws:SourceArn': Lazy.list({ produce: () => [...this.groupArns] }),
          },
        },
      }),
    });
    const neededBy = 'EventBridge Scheduler, for the schedules';
    permit(this.role, { neededBy, ...invoke(dispatcher.functionArn) }, { neededBy, ...send(deadLetters.queueArn) });
  }

  /** A schedule's target that sends this input. */
  with(input: object, retryPolicy?: scheduler.CfnSchedule.RetryPolicyProperty): scheduler.IScheduleTarget {
    return {
      bind: (schedule: scheduler.ISchedule) => {
        this.groupArns.add(this.groupArnOf(schedule));
        return {
          arn: this.dispatcher.functionArn,
          role: this.role,
          input: scheduler.ScheduleTargetInput.fromObject(input),
          deadLetterConfig: { arn: this.deadLetters.queueArn },
          retryPolicy: retryPolicy ?? {
            maximumEventAgeInSeconds: TRIGGER_AGE_MAX.toSeconds(),
            maximumRetryAttempts: TRIGGER_RETRIES,
          },
        };
      },
    };
  }

  /** A schedule's target that runs a job. The same schedule and time are the same run, however often they are sent. */
  scheduleOf(job: string): scheduler.IScheduleTarget {
    return this.with({
      run: job,
      trigger: { schedule: scheduler.ContextAttribute.scheduleArn, time: scheduler.ContextAttribute.scheduledTime },
    });
  }

  /** A rule's target that runs a job. The same event is the same run, however often it is sent. */
  ruleOf(job: string, patch?: object): events.IRuleTarget {
    return this.rule(
      events.RuleTargetInput.fromObject({
        run: job,
        ...(patch && { with: patch }),
        trigger: { event: events.EventField.eventId, time: events.EventField.time },
      }),
    );
  }

  /** A rule's target that sends the event as it is, or this input. */
  rule(event?: events.RuleTargetInput): events.IRuleTarget {
    return new targets.LambdaFunction(this.dispatcher, {
      ...(event && { event }),
      deadLetterQueue: this.deadLetters,
      maxEventAge: TRIGGER_AGE_MAX,
      retryAttempts: TRIGGER_RETRIES,
    });
  }

  private groupArnOf({ scheduleGroup }: scheduler.ISchedule): string {
    return (
      scheduleGroup?.scheduleGroupArn ??
      Stack.of(this.scope).formatArn({ service: 'scheduler', resource: 'schedule-group', resourceName: 'default' })
    );
  }
}
