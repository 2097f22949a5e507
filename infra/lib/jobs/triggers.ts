import { Duration, TimeZone } from 'aws-cdk-lib';
import * as events from 'aws-cdk-lib/aws-events';
import * as scheduler from 'aws-cdk-lib/aws-scheduler';
import type { Construct } from 'constructs';
import { windowMinutes } from './check';
import type { JobDocument, OnObjectCreated, Schedule } from './document';
import { filled, type DeploymentValues } from './placeholders';
import type { DispatcherTarget } from './targets';

/** Makes an entry of EventBridge Scheduler for each job with a schedule, and a rule for each that waits for objects. */
export function makeTriggers(
  scope: Construct,
  jobs: readonly JobDocument[],
  values: DeploymentValues,
  group: scheduler.IScheduleGroup,
  target: DispatcherTarget,
): void {
  for (const { name, schedule, on_object_created: trigger } of jobs) {
    if (schedule) makeSchedule(scope, name, schedule, group, target);
    if (trigger) makeRule(scope, name, trigger, values, target);
  }
}

function makeSchedule(scope: Construct, job: string, schedule: Schedule, group: scheduler.IScheduleGroup, target: DispatcherTarget): void {
  const window = schedule.flexible_window == null ? undefined : windowMinutes(schedule.flexible_window);
  const expression = schedule.cron == null ? `rate(${schedule.rate})` : `cron(${schedule.cron})`;
  new scheduler.Schedule(scope, `Schedule-${job}`, {
    scheduleName: job,
    scheduleGroup: group,
    description: `Fanfold job ${job}`,
    schedule: scheduler.ScheduleExpression.expression(expression, TimeZone.of(schedule.time_zone ?? 'UTC')),
    timeWindow: window === undefined ? scheduler.TimeWindow.off() : scheduler.TimeWindow.flexible(Duration.minutes(window)),
    enabled: schedule.enabled ?? true,
    target: target.scheduleOf(job),
  });
}

/** A rule sends the event as it is: the dispatcher finds the job by the object, as it does for a notice from S3. */
function makeRule(scope: Construct, job: string, trigger: OnObjectCreated, values: DeploymentValues, target: DispatcherTarget): void {
  const text = (field: string | null | undefined) => filled(field ?? '', values);
  const key = keyPattern(text(trigger.prefix), text(trigger.suffix));
  new events.Rule(scope, `Objects-${job}`, {
    description: `Fanfold job ${job}: new objects`,
    eventPattern: {
      source: ['aws.s3'],
      detailType: ['Object Created'],
      detail: { bucket: { name: [text(trigger.bucket)] }, ...(key && { object: { key: [key] } }) },
    },
    targets: [target.rule()],
  });
}

/** One of EventBridge's filters. It has none for both ends at once but the wildcard, in which `*` and `\` are escaped. */
function keyPattern(prefix: string, suffix: string): Record<string, string> | undefined {
  const escaped = (text: string) => text.replace(/[*\\]/g, '\\$&');
  if (prefix !== '' && suffix !== '') return { wildcard: `${escaped(prefix)}*${escaped(suffix)}` };
  if (prefix !== '') return { prefix };
  return suffix === '' ? undefined : { suffix };
}
