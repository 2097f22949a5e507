import { App, Stack, Validations } from 'aws-cdk-lib';
import { Match, Template } from 'aws-cdk-lib/assertions';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import { PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { Key } from 'aws-cdk-lib/aws-kms';
import { Bucket } from 'aws-cdk-lib/aws-s3';
import { Secret } from 'aws-cdk-lib/aws-secretsmanager';
import { AwsSolutionsChecks } from 'cdk-nag';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { FanfoldStack } from '../bin/fanfold-stack';
import { FanfoldPipeline } from '../index';
import { CONTEXT, dummyBootstraps, INFRA, job, TASKS, temporaryFolder } from './deployments';

const bootstraps = dummyBootstraps();

/** The app's stack, with this context. */
function fanfold(context: Record<string, unknown> = {}): { app: App; stack: FanfoldStack } {
  const app = new App({ context: { ...CONTEXT, bootstraps, ...context }, outdir: temporaryFolder() });
  return { app, stack: new FanfoldStack(app, 'Fanfold') };
}

/** The findings of cdk-nag's AwsSolutions; an app with any does not synthesize. */
function nag(app: App): string {
  Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
  try {
    app.synth();
    return '';
  } catch (error) {
    return `${(error as Error).message}\n${readFileSync(path.join(app.outdir, 'validation-report.json'), 'utf8')}`;
  }
}

describe('the app', () => {
  it('has this template; asset hashes aside', () => {
    const text = JSON.stringify(Template.fromStack(fanfold().stack).toJSON(), undefined, 1);
    expect(text.replace(/\b[0-9a-f]{64}\b/g, '<hash>')).toMatchSnapshot();
  });

  it('takes its options from the context', () => {
    const { stack } = fanfold({
      architecture: 'arm64',
      bootstraps: dummyBootstraps('arm64'),
      pipelineName: 'other',
      workerMemory: '8845',
      workerConcurrency: 40,
      alarmTopic: 'arn:aws:sns:eu-west-1:111111111111:alarms',
      createTestEventRegistry: 'true',
    });
    const template = Template.fromStack(stack);
    template.hasResourceProperties('AWS::Lambda::Function', {
      FunctionName: 'other-worker',
      Architectures: ['arm64'],
      MemorySize: 8845,
      ReservedConcurrentExecutions: 40,
    });
    template.hasResourceProperties('AWS::CloudWatch::Alarm', { AlarmActions: ['arn:aws:sns:eu-west-1:111111111111:alarms'] });
    template.resourceCountIs('AWS::EventSchemas::Registry', 1);
  });

  it.each([
    [{ architecture: 'sparc' }, '-c architecture=sparc must be x86_64 or arm64'],
    [{ workerMemory: 'much' }, '-c workerMemory=much must be a whole number'],
  ])('refuses %j', (context, message) => {
    expect(() => fanfold(context)).toThrow(message);
  });

  it('lays programs, jobs and tasks into the zips', () => {
    const { app, stack } = fanfold();
    const { directory } = app.synth();
    const files = (role: string) => {
      const found: any = Object.values(Template.fromStack(stack).findResources('AWS::Lambda::Function')).find(({ Properties }) => Properties.FunctionName === `fanfold-${role}`);
      const folder = path.join(directory, `asset.${found.Properties.Code.S3Key.replace('.zip', '')}`);
      expect(statSync(path.join(folder, 'bootstrap')).mode & 0o111, 'bootstrap can be executed').toBe(0o111);
      return readdirSync(folder, { recursive: true }).map(String).sort();
    };
    expect(files('dispatcher')).toEqual(['bootstrap', 'jobs', 'jobs/keep-on-arrival.json', 'jobs/squares-nightly.json']);
    expect(files('worker')).toEqual(['bootstrap', 'tasks', 'tasks/keep.sh', 'tasks/squares.sh']);
    expect(files('reducer')).toEqual(['bootstrap']);
  });

  it('synthesizes by its own command', () => {
    expect(existsSync(path.join(synthesized('bin/app.ts'), 'Fanfold.template.json'))).toBe(true);
  });
});

describe('the tasks of the app', () => {
  const run = (script: string, args: string[], input: string, environment: Record<string, string> = {}) =>
    execFileSync('/bin/sh', [path.join(INFRA, 'tasks', script), ...args], { input, env: { PATH: '/nowhere', ...environment }, encoding: 'utf8' });

  it('need nothing but a shell: squares', () => {
    expect(run('squares.sh', [], '', { FANFOLD_OFFSET: '7', FANFOLD_LIMIT: '3' })).toBe('number,square\n7,49\n8,64\n9,81\n');
  });

  it('need nothing but a shell: keep', () => {
    expect(run('keep.sh', ['Minor'], 'a,b\n1,Minor\n2,"Mi"\n3,x Minor')).toBe('a,b\n1,Minor\n3,x Minor\n');
  });
});

describe('cdk-nag has nothing to say', () => {
  it('about the app', () => {
    expect(nag(fanfold().app)).toBe('');
  });

  it('about a pipeline that uses all that may be chosen', () => {
    const app = new App({ context: CONTEXT, outdir: temporaryFolder() });
    const stack = new Stack(app, 'Stack');
    const place = { bucket: Bucket.fromBucketAttributes(stack, 'Data', { bucketName: 'data-bucket', encryptionKey: new Key(stack, 'DataKey', { enableKeyRotation: true }) }), prefix: 'a/' };
    const vpc = ec2.Vpc.fromVpcAttributes(stack, 'Vpc', { vpcId: 'vpc-12345678', availabilityZones: ['a'], privateSubnetIds: ['subnet-12345678'], privateSubnetRouteTableIds: ['rtb-12345678'] });
    new FanfoldPipeline(stack, 'Test', {
      bootstraps,
      vpc,
      tracing: true,
      tasks: TASKS,
      encryptionKey: new Key(stack, 'Key', { enableKeyRotation: true }),
      secrets: { TOKEN: Secret.fromSecretNameV2(stack, 'Token', 'api/token') },
      inputs: [place],
      outputs: [place],
      createTestEventRegistry: true,
      jobs: [job({ schedule: { rate: '1 day' } }), job({ name: 'b', on_object_created: { bucket: 'data-bucket' } })],
    });
    expect(nag(app)).toBe('');
  });

  it('but would, about a role with a wildcard that nobody gave a reason for', () => {
    const { app, stack } = fanfold();
    stack.pipeline.worker.addToRolePolicy(new PolicyStatement({ actions: ['s3:*'], resources: ['*'] }));
    expect(nag(app)).toContain('AwsSolutions-IAM5');
  });
});

describe('the examples', () => {
  it('nightly: an app of its own, with its task bundle, bucket and schedule', () => {
    const out = synthesized('examples/nightly/app.ts');
    const template = Template.fromJSON(JSON.parse(readFileSync(path.join(out, 'Nightly.template.json'), 'utf8')));
    template.hasResourceProperties('AWS::Scheduler::Schedule', { Name: 'mask-orders', ScheduleExpression: 'cron(30 2 * * ? *)' });
    template.hasResourceProperties('AWS::Lambda::Function', {
      FunctionName: 'Nightly-Masking-worker',
      Environment: { Variables: Match.objectLike({ FANFOLD_TASK_DIRECTORY: 'tasks', FANFOLD_ALLOW_COMMANDS: 'false' }) },
    });
    expect(readdirSync(out, { recursive: true }).map(String)).toContainEqual(expect.stringMatching(/^asset\.\w+\/tasks\/mask\.sh$/));
  });

  it('nightly: its task masks what follows', () => {
    const masked = execFileSync('sh', [path.join(INFRA, 'examples/nightly/tasks/mask.sh'), 'card='], { input: 'a card=1234\nb\nc card=', encoding: 'utf8' });
    expect(masked).toBe('a card=***\nb\nc card=***\n');
  });

  it('python: a worker with Python, built from a Dockerfile beside which program and tasks are laid', () => {
    const out = synthesized('examples/python/app.ts');
    const template = Template.fromJSON(JSON.parse(readFileSync(path.join(out, 'Python.template.json'), 'utf8')));
    template.hasResourceProperties('AWS::Lambda::Function', { FunctionName: 'Python-Words-worker', PackageType: 'Image' });
    const folder = readdirSync(out).find((name) => existsSync(path.join(out, name, 'Dockerfile')))!;
    expect(readdirSync(path.join(out, folder)).sort()).toEqual(['Dockerfile', 'bootstrap', 'tasks']);
    for (const [, source] of readFileSync(path.join(out, folder, 'Dockerfile'), 'utf8').matchAll(/^COPY (\S+)/gm)) {
      expect(existsSync(path.join(out, folder, source!)), source).toBe(true);
    }
  });
});

describe('the lock file', () => {
  it('says what is installed, not where it is fetched from', () => {
    const text = readFileSync(path.join(INFRA, 'package-lock.json'), 'utf8');
    expect(text).toContain('"integrity"');
    expect(text).not.toContain('"resolved"');
  });
});

/** Runs an app as CDK does, in a process of its own. */
function synthesized(app: string): string {
  const out = temporaryFolder();
  execFileSync('npx', ['tsx', app], {
    cwd: INFRA,
    env: { ...process.env, CDK_OUTDIR: out, CDK_CONTEXT_JSON: JSON.stringify({ ...CONTEXT, bootstraps }) },
    stdio: 'pipe',
  });
  return out;
}
