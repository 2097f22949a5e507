import { Duration, TimeZone } from 'aws-cdk-lib';
import * as scheduler from 'aws-cdk-lib/aws-scheduler';
import type { Construct } from 'constructs';
import type { Finding, Schedule } from './document';
import type { DispatcherTarget } from './targets';

/** Longest flexible window of EventBridge Scheduler, in minutes. */
const WINDOW_MINUTES_MAX = 1440;

/** What EventBridge Scheduler would refuse in the middle of a deployment. */
export function scheduleFindings({ cron, rate, time_zone: zone, flexible_window: window }: Schedule): Finding[] {
  const findings: Finding[] = [];
  const say = (field: string, message: string) => findings.push({ path: `schedule${field}`, message });
  if ((cron == null) === (rate == null)) say('', 'must have either cron or rate');
  if (cron != null && !isCron(cron)) {
    say('.cron', `must be minute, hour, day of month, month, day of week and year, with '?' for one of the two days, such as '0 3 * * ? *', not '${cron}'`);
  }
  if (rate != null && !/^(1 (minute|hour|day)|([2-9]|[1-9]\d+) (minutes|hours|days))$/.test(rate)) {
    say('.rate', `must be a number and minutes, hours or days, such as '1 day' or '15 minutes', not '${rate}'`);
  }
  if (zone !== undefined && !isTimeZone(zone)) say('.time_zone', `must be UTC or a zone such as Europe/Berlin, not '${zone}'`);
  if (window != null && !(minutesOf(window) <= WINDOW_MINUTES_MAX)) {
    say('.flexible_window', `must be whole minutes from '1m' to '${WINDOW_MINUTES_MAX}m', not '${window}'`);
  }
  return findings;
}

/** A job's entry in EventBridge Scheduler, by the job's name. */
export function makeSchedule(
  scope: Construct,
  job: string,
  schedule: Schedule,
  group: scheduler.IScheduleGroup,
  target: DispatcherTarget,
): scheduler.Schedule {
  const { cron, rate, time_zone: zone = 'UTC', flexible_window: window, enabled = true } = schedule;
  return new scheduler.Schedule(scope, `Schedule-${job}`, {
    scheduleName: job,
    scheduleGroup: group,
    description: `Fanfold job ${job}`,
    schedule: scheduler.ScheduleExpression.expression(cron == null ? `rate(${rate})` : `cron(${cron})`, TimeZone.of(zone)),
    timeWindow: window == null ? scheduler.TimeWindow.off() : scheduler.TimeWindow.flexible(Duration.minutes(minutesOf(window))),
    enabled,
    target: target.scheduleOf(job),
  });
}

function isCron(text: string): boolean {
  const fields = text.split(' ');
  const days = [fields[2], fields[4]].filter((day) => day === '?');
  return fields.length === 6 && days.length === 1 && fields.every((field) => /^[\w*?,/#-]+$/.test(field));
}

function isTimeZone(name: string): boolean {
  try {
    return /^[A-Z]/.test(name) && new Intl.DateTimeFormat('en', { timeZone: name }) !== undefined;
  } catch {
    return false;
  }
}

/** The minutes of `15m`; NaN for what is none. */
function minutesOf(window: string): number {
  return /^[1-9]\d*m$/.test(window) ? Number(window.slice(0, -1)) : Number.NaN;
}
