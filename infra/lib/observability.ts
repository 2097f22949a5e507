import { Duration } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import type * as lambda from 'aws-cdk-lib/aws-lambda';
import type * as sns from 'aws-cdk-lib/aws-sns';
import type * as sqs from 'aws-cdk-lib/aws-sqs';
import type { Construct } from 'constructs';
import type { PipelineFunctions } from './functions';
import { ROLES, type PipelineNames } from './names';

/** What is watched. */
export interface Watched {
  readonly names: PipelineNames;
  readonly namespace: string;
  readonly functions: PipelineFunctions;
  readonly deadLetters: sqs.Queue;
}

/** The alarms of a pipeline. */
export interface Alarms {
  /** A job ended without its output. */
  readonly jobsFailed: cloudwatch.Alarm;
  /** A job goes on longer than its workers can. */
  readonly jobsStuck: cloudwatch.Alarm;
  /** An event was lost: a schedule, a rule or an invocation of the dispatcher. */
  readonly deadLetters: cloudwatch.Alarm;
}

const PERIOD = Duration.minutes(5);

/** Alarms on what nobody would notice otherwise. No data is no alarm: without jobs there are no metrics. */
export function makeAlarms(scope: Construct, watched: Watched, topic?: sns.ITopic): Alarms {
  const alarm = (id: string, name: string, description: string, metric: cloudwatch.IMetric): cloudwatch.Alarm => {
    const made = new cloudwatch.Alarm(scope, id, {
      alarmName: `${watched.names.pipeline}-${name}`,
      alarmDescription: description,
      metric,
      threshold: 1,
      evaluationPeriods: 1,
      comparisonOperator: cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
      treatMissingData: cloudwatch.TreatMissingData.NOT_BREACHING,
    });
    if (topic) made.addAlarmAction(new SnsAction(topic));
    return made;
  };
  const failed = metric(watched, 'JobsFailed', 'Sum');
  const stuck = metric(watched, 'JobsStuck', 'Maximum');
  const letters = watched.deadLetters.metricApproximateNumberOfMessagesVisible({ period: PERIOD, statistic: 'Maximum' });
  return {
    jobsFailed: alarm('JobsFailedAlarm', 'jobs-failed', 'A job ended without its output; its result.json says why.', failed),
    jobsStuck: alarm('JobsStuckAlarm', 'jobs-stuck', 'A job goes on, but nothing of it runs or has moved for long.', stuck),
    deadLetters: alarm('DeadLettersAlarm', 'dead-letters', 'An event of a schedule, a rule or an invocation was lost; the queue has it.', letters),
  };
}

/** A page that shows what runs, what comes out, what fails, and what the functions do. */
export function makeDashboard(scope: Construct, watched: Watched, alarms: Alarms): cloudwatch.Dashboard {
  const graph = (title: string, left: cloudwatch.IMetric[], right: cloudwatch.IMetric[] = []) =>
    new cloudwatch.GraphWidget({ title, left, right, width: 8, height: 6 });
  const of = (name: string, statistic = 'Sum') => metric(watched, name, statistic);
  const functions = ROLES.map((role) => watched.functions[role].function);
  const atOnce = (made: lambda.Function) => made.metric('ConcurrentExecutions', { statistic: 'Maximum' });
  const dashboard = new cloudwatch.Dashboard(scope, 'Dashboard', {
    dashboardName: watched.names.pipeline,
    defaultInterval: Duration.days(1),
  });
  dashboard.addWidgets(
    new cloudwatch.AlarmStatusWidget({ title: 'Alarms', alarms: Object.values(alarms) as cloudwatch.Alarm[], width: 24, height: 3 }),
  );
  dashboard.addWidgets(
    graph('Jobs', [of('JobsStarted'), of('JobsSucceeded'), of('JobsFailed'), of('JobsStuck', 'Maximum')]),
    graph('How long jobs take (s)', [of('JobSeconds', 'Average'), of('JobSeconds', 'Maximum')]),
    graph('Jobs by name', [byJob(watched, 'JobsSucceeded'), byJob(watched, 'JobsFailed')]),
  );
  dashboard.addWidgets(
    graph('Partitions and chunks', [of('Partitions'), of('Chunks'), of('ChunksFailed')], [of('Attempts')]),
    graph('Bytes', [of('BytesIn'), of('BytesOut')]),
    graph('Records', [of('Records')]),
  );
  dashboard.addWidgets(
    graph('Processes: CPU seconds, peak memory', [of('ProcessCpuSeconds')], [of('ProcessPeakMemoryBytes', 'Maximum')]),
    graph('Functions at once, cold starts', functions.map(atOnce), [of('ColdStarts')]),
    graph('Function errors and throttles', functions.flatMap((made) => [made.metricErrors(), made.metricThrottles()])),
  );
  return dashboard;
}

function metric({ namespace, names }: Watched, metricName: string, statistic: string): cloudwatch.Metric {
  return new cloudwatch.Metric({ namespace, metricName, dimensionsMap: { Pipeline: names.pipeline }, statistic, period: PERIOD });
}

/** A line for each job that there is data of, whatever its name. */
function byJob({ namespace, names }: Watched, metricName: string): cloudwatch.MathExpression {
  return new cloudwatch.MathExpression({
    expression: `SEARCH('{${namespace},Job,Pipeline} MetricName="${metricName}" Pipeline="${names.pipeline}"', 'Sum', ${PERIOD.toSeconds()})`,
    usingMetrics: {},
    label: metricName,
    period: PERIOD,
  });
}
