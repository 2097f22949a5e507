import { Lazy, Stack } from 'aws-cdk-lib';
import { Rule, Schedule as EventsSchedule } from 'aws-cdk-lib/aws-events';
import { Bucket } from 'aws-cdk-lib/aws-s3';
import * as scheduler from 'aws-cdk-lib/aws-scheduler';
import { App } from 'aws-cdk-lib';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { FanfoldPipeline } from '../index';
import { CONTEXT, deploy, dummyBootstraps, environment, job, only, plain, TASKS, temporaryFolder, type Deployment } from './deployments';

const deployed = (...jobs: Record<string, unknown>[]): Deployment => deploy(() => ({ jobs, tasks: TASKS }));

/** The message with which synth refuses jobs. */
function refusal(jobs: string | Record<string, unknown>[], more: object = {}): string {
  try {
    deploy(() => ({ jobs, tasks: TASKS, ...more }));
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error('the jobs were taken');
}

describe('a job with a schedule', () => {
  it('has an entry in EventBridge Scheduler that tells the dispatcher schedule and time', () => {
    const { template } = deployed(job({ schedule: { cron: '0 3 * * ? *', time_zone: 'Europe/Berlin', flexible_window: '15m' } }));
    const schedule = only(template, 'AWS::Scheduler::Schedule', 'Schedulenumbers');
    expect(schedule).toMatchObject({
      Name: 'numbers',
      GroupName: 'test',
      ScheduleExpression: 'cron(0 3 * * ? *)',
      ScheduleExpressionTimezone: 'Europe/Berlin',
      FlexibleTimeWindow: { Mode: 'FLEXIBLE', MaximumWindowInMinutes: 15 },
      State: 'ENABLED',
    });
    expect(JSON.parse(schedule.Target.Input)).toEqual({
      run: 'numbers',
      trigger: { schedule: '<aws.scheduler.schedule-arn>', time: '<aws.scheduler.scheduled-time>' },
    });
    expect(plain(schedule.Target.Arn)).toBe('<TestDispatcher.Arn>');
    expect(plain(schedule.Target.DeadLetterConfig.Arn)).toBe('<TestDeadLetters.Arn>');
    expect(schedule.Target.RetryPolicy).toEqual({ MaximumEventAgeInSeconds: 21_600, MaximumRetryAttempts: 185 });
  });

  it('is in UTC, at once, and on, where it does not say otherwise; and may be off', () => {
    const { template } = deployed(job({ schedule: { rate: '1 day' } }), job({ name: 'idle', schedule: { rate: '2 hours', enabled: false } }));
    expect(only(template, 'AWS::Scheduler::Schedule', 'Schedulenumbers')).toMatchObject({
      ScheduleExpression: 'rate(1 day)',
      ScheduleExpressionTimezone: 'UTC',
      FlexibleTimeWindow: { Mode: 'OFF' },
      State: 'ENABLED',
    });
    expect(only(template, 'AWS::Scheduler::Schedule', 'Scheduleidle')).toMatchObject({ ScheduleExpression: 'rate(2 hours)', State: 'DISABLED' });
  });

  it('lets Scheduler act only for the schedules of the pipeline', () => {
    const { template } = deployed(job({ schedule: { rate: '1 day' } }));
    const [statement] = only(template, 'AWS::IAM::Role', 'Scheduler').AssumeRolePolicyDocument.Statement;
    expect(statement.Principal).toEqual({ Service: 'scheduler.amazonaws.com' });
    expect(statement.Condition.StringEquals['aws:SourceAccount']).toEqual({ Ref: 'AWS::AccountId' });
    expect(statement.Condition.StringEquals['aws:SourceArn'].map(plain)).toEqual(['<TestSchedules.Arn>']);
  });
});

describe('a job that waits for objects', () => {
  const pattern = (trigger: object) => {
    const { template } = deployed(job({ on_object_created: { bucket: 'in', ...trigger } }));
    return only(template, 'AWS::Events::Rule').EventPattern;
  };

  it('has a rule that sends the event as it is, with dead letters', () => {
    const { template } = deployed(job({ on_object_created: { bucket: 'in' } }));
    const rule = only(template, 'AWS::Events::Rule', 'Objectsnumbers');
    expect(rule.EventPattern).toEqual({ source: ['aws.s3'], 'detail-type': ['Object Created'], detail: { bucket: { name: ['in'] } } });
    expect(rule.Targets).toHaveLength(1);
    const [target] = rule.Targets;
    expect(plain(target.Arn)).toBe('<TestDispatcher.Arn>');
    expect(plain(target.DeadLetterConfig.Arn)).toBe('<TestDeadLetters.Arn>');
    expect(target.RetryPolicy).toEqual({ MaximumEventAgeInSeconds: 21_600, MaximumRetryAttempts: 185 });
    expect(target).not.toHaveProperty('Input');
    expect(target).not.toHaveProperty('InputTransformer');
    const permission = only(template, 'AWS::Lambda::Permission');
    expect(permission).toMatchObject({ Action: 'lambda:InvokeFunction', Principal: 'events.amazonaws.com' });
    expect(plain(permission.SourceArn)).toBe('<TestObjectsnumbers.Arn>');
    expect(JSON.stringify(only(template, 'AWS::SQS::QueuePolicy'))).toMatch(/events\.amazonaws\.com/);
  });

  it.each([
    [{ prefix: 'orders/' }, { prefix: 'orders/' }],
    [{ suffix: '.csv' }, { suffix: '.csv' }],
    [{ prefix: 'orders/', suffix: '.csv' }, { wildcard: 'orders/*.csv' }],
    [{ prefix: 'a*b\\c/', suffix: '.csv' }, { wildcard: 'a\\*b\\\\c/*.csv' }],
  ])('by %j has the filter %j', (trigger, filter) => {
    expect(pattern(trigger).detail.object.key).toEqual([filter]);
  });

  it('may wait for objects of a bucket whose name is known at deployment', () => {
    const { template } = deployed(job({ on_object_created: { bucket: '{deployment.bucket}', prefix: 'inputs/' } }));
    expect(only(template, 'AWS::Events::Rule').EventPattern.detail.bucket.name.map(plain)).toEqual(['<TestWorkBucket>']);
  });
});

describe('a job of the app', () => {
  it('may hold what only CloudFormation knows: the job gets a placeholder, the dispatcher the value', () => {
    const bootstraps = dummyBootstraps();
    const app = new App({ context: CONTEXT });
    const stack = new Stack(app, 'Stack');
    const bucket = new Bucket(stack, 'Data');
    new FanfoldPipeline(stack, 'Test', {
      bootstraps,
      tasks: TASKS,
      jobs: [
        job({
          source: { objects: { uri: [`s3://${bucket.bucketName}/a/`, `s3://${bucket.bucketName}/b/`] } },
          output: { uri: `s3://${bucket.bucketName}/out-${stack.region}/{job_id}` },
          task: { name: 'print', environment: { ARN: bucket.bucketArn } },
        }),
      ],
    });
    const assembly = app.synth();
    const template = assembly.getStackByName('Stack').template;
    const dispatcher: any = Object.values(template.Resources).find((made: any) => made.Properties?.Handler && made.Properties.Environment.Variables.FANFOLD_JOBS);
    const zip = path.join(assembly.directory, `asset.${dispatcher.Properties.Code.S3Key.replace('.zip', '')}`);
    expect(JSON.parse(readFileSync(path.join(zip, 'jobs', 'numbers.json'), 'utf8'))).toMatchObject({
      source: { objects: { uri: ['s3://{deployment.inline_1}/a/', 's3://{deployment.inline_1}/b/'] } },
      task: { environment: { ARN: '{deployment.inline_2}' } },
      output: { uri: 's3://{deployment.inline_1}/out-{deployment.inline_3}/{job_id}' },
    });
    expect(JSON.parse(plain(dispatcher.Properties.Environment.Variables.FANFOLD_DEPLOYMENT_VALUES))).toEqual({
      bucket: '<TestWorkBucket>',
      inline_1: '<Data>',
      inline_2: '<Data.Arn>',
      inline_3: '<AWS::Region>',
    });
  });

  it('comes from a file byte for byte, numbers that JavaScript cannot hold included', () => {
    const text = JSON.stringify(job({ source: { items: { values: [0] } } }), undefined, 1).replace('0', '18446744073709551617');
    const file = path.join(temporaryFolder(), 'numbers.json');
    writeFileSync(file, text);
    const app = new App({ context: CONTEXT });
    new FanfoldPipeline(new Stack(app, 'Stack'), 'Test', { bootstraps: dummyBootstraps(), tasks: TASKS, jobs: file });
    const assembly = app.synth();
    const resources: any[] = Object.values(assembly.getStackByName('Stack').template.Resources);
    const dispatcher = resources.find((made) => made.Properties?.Handler && made.Properties.Environment.Variables.FANFOLD_JOBS);
    const zip = path.join(assembly.directory, `asset.${dispatcher.Properties.Code.S3Key.replace('.zip', '')}`);
    expect(readFileSync(path.join(zip, 'jobs', 'numbers.json'), 'utf8')).toBe(text);
  });

  it('may not hold it where nothing is filled in at run time', () => {
    const text = Lazy.string({ produce: () => 'x' });
    const message = refusal([job({ source: { items: { values: [text] } } }), job({ name: 'b', source: { range: { end: Lazy.number({ produce: () => 3 }), chunk: 1 } } })]);
    expect(message).toContain("jobs[0] ('numbers'): source.items.values[0] holds a text that only CloudFormation knows");
    expect(message).toContain("jobs[1] ('b'): source.range.end is a number that only CloudFormation knows");
  });

  it('finds the values of the deployment', () => {
    const { template } = deploy(() => ({ deploymentValues: { stage: 'prod' }, tasks: TASKS, jobs: [job({ output: { uri: 's3://out/{deployment.stage}/x' } })] }));
    expect(JSON.parse(plain(environment(template, 'Dispatcher')['FANFOLD_DEPLOYMENT_VALUES']))).toEqual({ bucket: '<TestWorkBucket>', stage: 'prod' });
  });

  it.each([
    [{ bucket: 'x' }, "'bucket' is the work bucket's name"],
    [{ 'a.b': 'x' }, "'a.b' must be called by"],
  ])('refuses the values %j', (deploymentValues, message) => {
    expect(() => deploy(() => ({ deploymentValues }))).toThrow(message);
  });
});

describe('the files of a folder', () => {
  const folder = temporaryFolder();
  const write = (name: string, content: unknown) =>
    writeFileSync(path.join(folder, name), typeof content === 'string' ? content : JSON.stringify(content));

  it('that are not right are refused with all that is wrong, each with its file and field', () => {
    const bad = path.join(folder, 'bad');
    mkdirSync(bad);
    write('bad/broken.json', '{ "version": 1, ');
    write('bad/fields.json', job({ name: 'fields', retrys: 3, retries: 99, source: { range: { end: 'ten', chunk: 0 } } }));
    write('bad/forms.json', job({ name: 'forms', source: { rnage: {} }, output: {} }));
    write('bad/other.json', job());
    write('bad/task.json', job({ name: 'task', task: { name: 'prnit' } }));
    write('bad/place.json', job({ name: 'place', output: { uri: 's3://{deployment.bukket}/x' } }));
    write('bad/notes.txt', 'not a job');
    const message = refusal(bad);
    const lines = message.split('\n').map((line) => line.trim().replace(/^.*\/bad\//, ''));
    const wrong = [
      /^broken\.json: is no JSON: /,
      /^fields\.json: retrys is no field; the fields here are .*retries/,
      /^fields\.json: retries must be <= 10$/,
      /^fields\.json: source\.range\.end must be integer$/,
      /^fields\.json: source\.range\.chunk must be >= 1$/,
      /^forms\.json: output\.uri is missing$/,
      /^forms\.json: source must be an object with "objects", or an object with "range", or an object with "items"$/,
      /^other\.json: name is 'numbers', but the file is called other\.json/,
      /^place\.json: output\.uri asks for \{deployment\.bukket\}; this deployment gives bucket$/,
      /^task\.json: task\.name 'prnit' is not registered \(there are print\)/,
    ];
    for (const line of wrong) expect(lines).toContainEqual(expect.stringMatching(line));
    expect(lines).toHaveLength(1 + wrong.length);
  });

  it.each([
    [{ schedule: { rate: '1 day', zone: 'UTC' } }, 'schedule.zone is no field; the fields here are cron, enabled, flexible_window, rate, time_zone'],
    [{ schedule: 'daily' }, 'schedule must be an object with cron, enabled, flexible_window, rate, time_zone'],
    [{ on_object_created: { prefix: 'x' } }, 'on_object_created.bucket is missing'],
    [{ source: { objects: { uri: 's3://in/x', split: 'tabs' } } }, /source\.objects\.split must be .*"csv"/],
    [{ processes: 'many' }, /processes must be .*"auto"/],
    [{ output: { uri: '/tmp/x' } }, /output\.uri must match pattern/],
  ])('say the form that was meant: %j', (changes, message) => {
    expect(refusal([job(changes)])).toMatch(message);
  });

  it('that are not there are named', () => {
    expect(refusal(path.join(folder, 'nowhere'))).toMatch(/there is no job file or folder of jobs at .*nowhere/);
  });
});

describe('a job is refused', () => {
  it.each([
    ['a cron of five fields', { schedule: { cron: '0 3 * * *' } }, 'schedule.cron must be minute'],
    ["a cron without '?'", { schedule: { cron: '0 3 * * * *' } }, 'schedule.cron must be minute'],
    ['a rate of another form', { schedule: { rate: '1 days' } }, 'schedule.rate must be a number'],
    ['cron and rate', { schedule: { cron: '0 3 * * ? *', rate: '1 day' } }, 'schedule must have either cron or rate'],
    ['neither', { schedule: {} }, 'schedule must have either cron or rate'],
    ['an unknown time zone', { schedule: { rate: '1 day', time_zone: 'Europe/Atlantis' } }, 'schedule.time_zone must be'],
    ['a window of more than a day', { schedule: { rate: '1 day', flexible_window: '1441m' } }, 'schedule.flexible_window must'],
    ["the sweep's name", { name: 'sweep', schedule: { rate: '1 day' } }, "name 'sweep' is the name of the pipeline's own schedule"],
    ['a name with a slash', { name: 'a/b' }, 'name must be 1 to 64'],
    ['processes larger than a worker', { memory_mb: 3009 }, 'memory_mb must be at most 3008, which is what a worker has in MB, not 3009'],
  ])('that has %s', (_what, changes, message) => {
    expect(refusal([job(changes)])).toContain(message);
  });

  it('that has the name of another', () => {
    expect(refusal([job(), job()])).toContain("jobs[1] ('numbers'): name 'numbers' is the name of the job of jobs[0] ('numbers') too");
  });

  it.each([
    ['s3://in/out.csv', { bucket: 'in' }],
    ['s3://in/orders/{job_id}.csv', { bucket: 'in', prefix: 'orders/', suffix: '.csv' }],
    ['s3://{object_bucket}/{object_key}', { bucket: 'in', prefix: 'orders/' }],
    ['s3://{deployment.bucket}/x/{object_name}', { bucket: '{deployment.bucket}', suffix: '.csv' }],
  ])('whose output %s would start it again by %j', (uri, trigger) => {
    expect(refusal([job({ output: { uri }, on_object_created: trigger })])).toContain('output.uri may be an object for which on_object_created starts this job again');
  });

  it.each([
    ['s3://out/orders/{job_id}.csv', { bucket: 'in', prefix: 'orders/' }],
    ['s3://in/done/{object_name}', { bucket: 'in', prefix: 'orders/' }],
    ['s3://in/{name}/{object_name}', { bucket: 'in', prefix: 'orders/' }],
    ['s3://in/orders/{job_id}.json', { bucket: 'in', prefix: 'orders/', suffix: '.csv' }],
  ])('but not one whose output %s does not, by %j', (uri, trigger) => {
    expect(() => deployed(job({ output: { uri }, on_object_created: trigger }))).not.toThrow();
  });
});

describe("a trigger that reaches Fanfold's own objects", () => {
  const waiting = (trigger: object) =>
    job({ output: { uri: 's3://elsewhere/{object_name}' }, on_object_created: { bucket: '{deployment.bucket}', ...trigger } });

  it.each([{}, { prefix: 'wo' }, { prefix: 'work/jobs/a' }, { suffix: '.json' }, { suffix: 'lan.json' }, { suffix: '.001' }, { suffix: 'csv' }])('is refused: %j', (trigger) => {
    expect(refusal([waiting(trigger)])).toContain("on_object_created.prefix reaches Fanfold's own objects below work/");
  });

  it.each([{ suffix: '.csv' }, { suffix: 'orders.json' }, { suffix: '.json.gz' }, { prefix: 'inputs/' }, { prefix: 'inputs/', suffix: '.json' }])('is none where no artefact can match: %j', (trigger) => {
    expect(() => deployed(waiting(trigger))).not.toThrow();
  });

  it('is refused by the prefix that they have in this deployment, and in their bucket alone', () => {
    expect(refusal([waiting({ prefix: 'inputs/' })], { workPrefix: 'inputs/fanfold/' })).toContain('below inputs/fanfold/');
    expect(() => deployed(waiting({ bucket: 'in' }))).not.toThrow();
  });
});

describe('a trigger of the app itself', () => {
  it('is a rule that tells the dispatcher the event and its time, and what is other than in the job', () => {
    const { template } = deploy(
      () => ({ jobs: [job()], tasks: TASKS }),
      (pipeline, stack) => {
        new Rule(stack, 'TestRule', { schedule: EventsSchedule.expression('rate(1 day)'), targets: [pipeline.jobTarget('numbers', { retries: 0 })] });
      },
    );
    const [target] = only(template, 'AWS::Events::Rule').Targets;
    expect(target.InputTransformer).toEqual({
      InputPathsMap: { id: '$.id', time: '$.time' },
      InputTemplate: '{"run":"numbers","with":{"retries":0},"trigger":{"event":<id>,"time":<time>}}',
    });
  });

  it('is a schedule in any group, for which Scheduler may act', () => {
    const { template } = deploy(
      () => ({ jobs: [job()], tasks: TASKS }),
      (pipeline, stack) => {
        new scheduler.Schedule(stack, 'TestMine', { schedule: scheduler.ScheduleExpression.expression('rate(1 hour)'), target: pipeline.scheduleTarget('numbers') });
      },
    );
    expect(JSON.parse(only(template, 'AWS::Scheduler::Schedule', 'Mine').Target.Input)).toMatchObject({ run: 'numbers' });
    const [statement] = only(template, 'AWS::IAM::Role', 'Scheduler').AssumeRolePolicyDocument.Statement;
    expect(statement.Condition.StringEquals['aws:SourceArn'].map(plain)).toEqual([
      '<TestSchedules.Arn>',
      'arn:<AWS::Partition>:scheduler:<AWS::Region>:<AWS::AccountId>:schedule-group/default',
    ]);
  });

  it('names a job that there is', () => {
    const { pipeline } = deploy(() => ({ jobs: [job()], tasks: TASKS }));
    expect(() => pipeline.jobTarget('nubmers')).toThrow("there is no job 'nubmers' in the pipeline test; its jobs are: numbers");
    expect(() => pipeline.scheduleTarget('')).toThrow('there is no job');
  });
});

describe('the test events of the console', () => {
  const jobs = [job(), job({ name: 'on-arrival', on_object_created: { bucket: '{deployment.bucket}', prefix: 'inputs/', suffix: '.csv' } })];

  it('are one for each job, one for help, one for a status', () => {
    const { template } = deployed(...jobs);
    const schema = only(template, 'AWS::EventSchemas::Schema');
    expect(schema).toMatchObject({ RegistryName: 'lambda-testevent-schemas', SchemaName: '_test-dispatcher-schema', Type: 'OpenApi3' });
    const content = JSON.parse(plain(schema.Content));
    expect(content.components.examples).toMatchObject({
      _help: { value: {} },
      _status: { value: { status: expect.any(String) } },
      numbers: { value: { run: 'numbers' } },
      'on-arrival': {
        value: {
          source: 'aws.s3',
          'detail-type': 'Object Created',
          detail: { bucket: { name: '<TestWorkBucket>' }, object: { key: 'inputs/EXAMPLE.csv' } },
        },
      },
    });
    template.resourceCountIs('AWS::EventSchemas::Registry', 0);
  });

  it('may be left out, and may bring the registry', () => {
    deploy(() => ({ testEvents: false })).template.resourceCountIs('AWS::EventSchemas::Schema', 0);
    const { template } = deploy(() => ({ createTestEventRegistry: true }));
    expect(only(template, 'AWS::EventSchemas::Registry')).toMatchObject({ RegistryName: 'lambda-testevent-schemas' });
    const [schema] = Object.values(template.findResources('AWS::EventSchemas::Schema'));
    expect(schema!['DependsOn']).toEqual([expect.stringContaining('TestEventRegistry')]);
  });
});
