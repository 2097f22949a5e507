import { Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { Topic } from 'aws-cdk-lib/aws-sns';
import { readFileSync } from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { deploy, only, plain, REPOSITORY } from './deployments';

describe('alarms', () => {
  const { template } = deploy();

  it.each([
    ['JobsFailed', 'test-jobs-failed', 'Fanfold', 'JobsFailed', 'Sum'],
    ['JobsStuck', 'test-jobs-stuck', 'Fanfold', 'JobsStuck', 'Maximum'],
    ['DeadLetters', 'test-dead-letters', 'AWS/SQS', 'ApproximateNumberOfMessagesVisible', 'Maximum'],
  ])('%s goes off at the first one, and not for want of data', (id, AlarmName, Namespace, MetricName, Statistic) => {
    expect(only(template, 'AWS::CloudWatch::Alarm', id)).toMatchObject({
      AlarmName,
      Namespace,
      MetricName,
      Statistic,
      Threshold: 1,
      ComparisonOperator: 'GreaterThanOrEqualToThreshold',
      EvaluationPeriods: 1,
      Period: 300,
      TreatMissingData: 'notBreaching',
    });
    expect(only(template, 'AWS::CloudWatch::Alarm', id)).not.toHaveProperty('AlarmActions');
  });

  it('look at this pipeline alone', () => {
    expect(only(template, 'AWS::CloudWatch::Alarm', 'JobsFailed').Dimensions).toEqual([{ Name: 'Pipeline', Value: 'test' }]);
    expect(plain(only(template, 'AWS::CloudWatch::Alarm', 'DeadLetters').Dimensions[0].Value)).toBe('<TestDeadLetters.QueueName>');
  });

  it('tell a topic, where one is given', () => {
    const { template } = deploy((stack) => ({ alarmTopic: new Topic(stack, 'Topic') }));
    for (const alarm of Object.values(template.findResources('AWS::CloudWatch::Alarm'))) {
      expect(alarm['Properties'].AlarmActions).toEqual([{ Ref: expect.stringContaining('Topic') }]);
    }
  });
});

describe('the dashboard', () => {
  const { template } = deploy(() => ({ metricsNamespace: 'Batches' }));
  const dashboard = only(template, 'AWS::CloudWatch::Dashboard');
  const body = JSON.parse(plain(dashboard.DashboardBody));

  it('has the name of the pipeline', () => {
    expect(dashboard.DashboardName).toBe('test');
  });

  it.each(metrics())('shows %s, which the functions tell', (metric) => {
    const shown = body.widgets.flatMap((widget: any) => widget.properties.metrics ?? []);
    expect(shown).toContainEqual(expect.arrayContaining(['Batches', metric, 'Pipeline', 'test']));
  });

  it('shows each job by its name, whatever jobs there are', () => {
    expect(JSON.stringify(body)).toContain(`SEARCH('{Batches,Job,Pipeline} MetricName=\\"JobsFailed\\" Pipeline=\\"test\\"', 'Sum', 300)`);
  });
});

describe('the outputs of the stack', () => {
  it('tell the command line where the pipeline is', () => {
    const outputs = deploy().template.findOutputs('*');
    expect(Object.keys(outputs).sort()).toEqual(['TestDashboard', 'TestDispatcher', 'TestLogs', 'TestWorkUri']);
    expect(outputs['TestDispatcher']).toMatchObject({ Value: 'test-dispatcher', Description: expect.stringMatching(/^Fanfold dispatcher/) });
    expect(plain(outputs['TestWorkUri']!['Value'])).toBe('s3://<TestWorkBucket>/work/');
    expect(outputs['TestLogs']!['Value']).toBe('/aws/lambda/test-dispatcher,/aws/lambda/test-worker,/aws/lambda/test-reducer');
    expect(plain(outputs['TestDashboard']!['Value'])).toContain('#dashboards/dashboard/test');
  });
});

describe('who may run jobs', () => {
  it('may invoke the dispatcher, and nothing else', () => {
    const { template } = deploy(undefined, (pipeline, stack) => {
      pipeline.grantRun(new Role(stack, 'TestCaller', { assumedBy: new ServicePrincipal('ecs-tasks.amazonaws.com') }));
    });
    const { Statement } = only(template, 'AWS::IAM::Policy', 'Caller').PolicyDocument;
    expect(Statement).toHaveLength(1);
    expect(Statement[0].Action).toBe('lambda:InvokeFunction');
    expect(plain(Statement[0].Resource)).toBe('<TestDispatcher.Arn>');
  });
});

/** The names of the metrics, from the list in the code that prints them. */
function metrics(): string[] {
  const source = readFileSync(path.join(REPOSITORY, 'crates', 'runtime', 'src', 'metrics.rs'), 'utf8');
  const [, count, list] = /ALL: \[Self; (\d+)\] = \[([^\]]*)\]/.exec(source)!;
  const names = [...list!.matchAll(/Self::(\w+)/g)].map(([, name]) => name!);
  expect(names).toHaveLength(Number(count));
  return names;
}
