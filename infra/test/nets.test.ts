import { Duration } from 'aws-cdk-lib';
import { describe, expect, it } from 'vitest';
import { deploy, only, plain } from './deployments';

const { template } = deploy();

describe('an invocation that ends without success', () => {
  it.each([
    ['Worker', 0, '<TestDispatcher.Arn>'],
    ['Reducer', 0, '<TestDispatcher.Arn>'],
    ['Dispatcher', 2, '<TestDeadLetters.Arn>'],
  ])('of the %s is tried again %d times by Lambda, then told to %s', (role, retries, destination) => {
    const config = only(template, 'AWS::Lambda::EventInvokeConfig', role);
    expect(config).toMatchObject({ Qualifier: '$LATEST', MaximumRetryAttempts: retries, MaximumEventAgeInSeconds: 21_600 });
    expect(plain(config.FunctionName)).toBe(`<Test${role}>`);
    expect(plain(config.DestinationConfig.OnFailure.Destination)).toBe(destination);
  });

  it('is told only after the function and its permissions are there, since Lambda checks them', () => {
    for (const [id, config] of Object.entries(template.findResources('AWS::Lambda::EventInvokeConfig'))) {
      const failing = Object.keys(template.findResources('AWS::Lambda::Function')).find((made) => id.startsWith(made.slice(0, -8)))!;
      expect(config['DependsOn'], id).toContain(failing);
      expect(template.findResources('AWS::Lambda::Function')[failing]!['DependsOn']).toContainEqual(expect.stringContaining('RoleDefaultPolicy'));
    }
  });
});

describe('dead letters', () => {
  it('are kept for two weeks, encrypted, and taken over TLS alone', () => {
    expect(only(template, 'AWS::SQS::Queue')).toEqual({ MessageRetentionPeriod: 1_209_600, SqsManagedSseEnabled: true });
    expect(only(template, 'AWS::SQS::QueuePolicy').PolicyDocument.Statement).toContainEqual(
      expect.objectContaining({ Effect: 'Deny', Action: 'sqs:*', Condition: { Bool: { 'aws:SecureTransport': 'false' } } }),
    );
  });
});

describe('the sweep', () => {
  it('comes every minute, and is not made up for', () => {
    expect(only(template, 'AWS::Scheduler::Schedule', 'Sweep')).toMatchObject({
      Name: 'sweep',
      GroupName: 'test',
      ScheduleExpression: 'rate(1 minute)',
      State: 'ENABLED',
      FlexibleTimeWindow: { Mode: 'OFF' },
      Target: { Input: '{"sweep":{}}', RetryPolicy: { MaximumEventAgeInSeconds: 60, MaximumRetryAttempts: 0 } },
    });
  });

  it('may come less often', () => {
    const { template } = deploy(() => ({ sweepInterval: Duration.minutes(5) }));
    expect(only(template, 'AWS::Scheduler::Schedule', 'Sweep').ScheduleExpression).toBe('rate(5 minutes)');
  });

  it.each([Duration.seconds(30), Duration.seconds(90)])('comes in whole minutes, not every %s', (sweepInterval) => {
    expect(() => deploy(() => ({ sweepInterval }))).toThrow('sweepInterval must be whole minutes');
  });
});
