import { App, Duration, Size } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import { RetentionDays } from 'aws-cdk-lib/aws-logs';
import { Secret } from 'aws-cdk-lib/aws-secretsmanager';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { writeProgram } from './elf';
import { deploy, dummyBootstraps, environment, job, only, plain, TASKS, temporaryFolder } from './deployments';

const FUNCTION = 'AWS::Lambda::Function';

describe('the functions of a pipeline, as they are by default', () => {
  const { template } = deploy(() => ({ jobs: [job()], tasks: TASKS }));

  it.each([
    ['dispatcher', 1769, 'Allow'],
    ['worker', 3008, 'Allow'],
    ['reducer', 1769, 'Allow'],
  ])('%s has %d MB, 15 minutes, and its RecursiveLoop is %s', (role, memory, loop) => {
    const id = role[0]!.toUpperCase() + role.slice(1);
    expect(only(template, FUNCTION, id)).toMatchObject({
      FunctionName: `test-${role}`,
      Runtime: 'provided.al2023',
      Handler: 'bootstrap',
      Architectures: ['x86_64'],
      MemorySize: memory,
      Timeout: 900,
      EphemeralStorage: { Size: 512 },
      RecursiveLoop: loop,
      LoggingConfig: { LogFormat: 'JSON', ApplicationLogLevel: 'INFO', LogGroup: { Ref: expect.stringContaining(`Test${id}Logs`) } },
    });
    expect(only(template, FUNCTION, id)).not.toHaveProperty('ReservedConcurrentExecutions');
    expect(only(template, FUNCTION, id)).not.toHaveProperty('TracingConfig');
    expect(only(template, FUNCTION, id)).not.toHaveProperty('VpcConfig');
    expect(only(template, 'AWS::Logs::LogGroup', id)).toEqual({ LogGroupName: `/aws/lambda/test-${role}`, RetentionInDays: 30 });
  });

  const shared = {
    FANFOLD_WORK_URI: { 'Fn::Join': ['', ['s3://', { Ref: expect.stringContaining('TestWorkBucket') }, '/work/']] },
    FANFOLD_DISPATCHER: 'test-dispatcher',
    FANFOLD_WORKER: 'test-worker',
    FANFOLD_REDUCER: 'test-reducer',
    FANFOLD_METRICS_NAMESPACE: 'Fanfold',
    FANFOLD_PIPELINE: 'test',
  };

  it('are told just what their code reads', () => {
    expect(environment(template, 'Reducer')).toEqual(shared);
    expect(environment(template, 'Worker')).toEqual({
      ...shared,
      FANFOLD_ALLOW_COMMANDS: 'false',
      FANFOLD_TASKS: JSON.stringify(TASKS),
    });
    expect(environment(template, 'Dispatcher')).toEqual({
      ...shared,
      FANFOLD_WORKER_MEMORY_MB: '3008',
      FANFOLD_JOBS: 'jobs',
      FANFOLD_DEPLOYMENT_VALUES: expect.anything(),
      FANFOLD_LINKS: expect.anything(),
    });
    expect(plain(environment(template, 'Dispatcher')['FANFOLD_DEPLOYMENT_VALUES'])).toBe('{"bucket":"<TestWorkBucket>"}');
  });

  it('give people links that are right in any region and partition', () => {
    const links = JSON.parse(plain(environment(template, 'Dispatcher')['FANFOLD_LINKS']));
    const console = 'https://<<AWS::Partition>.Host>';
    expect(links.bucket).toBe(`${console}/s3/buckets/<TestWorkBucket>?region=<AWS::Region>&prefix=work/jobs/{job_id}/`);
    expect(links.dashboard).toBe(`${console}/cloudwatch/home?region=<AWS::Region>#dashboards/dashboard/test`);
    expect(links.logs).toContain(`${console}/cloudwatch/home?region=<AWS::Region>#logsV2:logs-insights$3FqueryDetail$3D~(`);
    expect(links.logs).toContain('*22{job_id}*22');
    expect(links.logs).toContain("source~(~'*2faws*2flambda*2ftest-dispatcher~'*2faws*2flambda*2ftest-worker~'*2faws*2flambda*2ftest-reducer))");
    expect(template.findMappings('*')).toMatchObject({
      [Object.keys(template.findMappings('*'))[0]!]: {
        aws: { Host: 'console.aws.amazon.com' },
        'aws-cn': { Host: 'console.amazonaws.cn' },
        'aws-us-gov': { Host: 'console.amazonaws-us-gov.com' },
      },
    });
  });
});

describe('the functions of a pipeline, as they may be chosen', () => {
  it('have other sizes, and the dispatcher plans with the memory of the worker', () => {
    const { template } = deploy(() => ({
      worker: { memorySize: 8845, timeout: Duration.minutes(5), reservedConcurrency: 100, ephemeralStorage: Size.gibibytes(4) },
      dispatcher: { reservedConcurrency: 5 },
      logRetention: RetentionDays.ONE_WEEK,
      logLevel: lambda.ApplicationLogLevel.DEBUG,
    }));
    expect(only(template, FUNCTION, 'Worker')).toMatchObject({
      MemorySize: 8845,
      Timeout: 300,
      ReservedConcurrentExecutions: 100,
      EphemeralStorage: { Size: 4096 },
      LoggingConfig: { ApplicationLogLevel: 'DEBUG' },
    });
    expect(only(template, FUNCTION, 'Dispatcher')).toMatchObject({ ReservedConcurrentExecutions: 5 });
    expect(environment(template, 'Dispatcher')['FANFOLD_WORKER_MEMORY_MB']).toBe('8845');
    expect(only(template, 'AWS::Logs::LogGroup', 'Worker').RetentionInDays).toBe(7);
  });

  it.each([
    [lambda.ApplicationLogLevel.DEBUG, 'DEBUG', 'debug'],
    [lambda.ApplicationLogLevel.ERROR, 'INFO', 'error'],
    [lambda.ApplicationLogLevel.FATAL, 'INFO', 'error'],
  ])('log from %s on, but let Lambda keep no metric back', (logLevel, ofLambda, ofProgram) => {
    const { template } = deploy(() => ({ logLevel }));
    for (const role of ['Dispatcher', 'Worker', 'Reducer']) {
      expect(only(template, FUNCTION, role).LoggingConfig.ApplicationLogLevel).toBe(ofLambda);
      expect(environment(template, role)['FANFOLD_LOG']).toBe(ofProgram);
    }
  });

  it('run on arm64, with programs for it', () => {
    const { template } = deploy(() => ({ architecture: lambda.Architecture.ARM_64, bootstraps: dummyBootstraps('arm64') }));
    const architectures = Object.values(template.findResources(FUNCTION)).map((made: any) => made.Properties.Architectures);
    expect(architectures).toEqual([['arm64'], ['arm64'], ['arm64']]);
  });

  it('do not run on arm64 with programs for x86_64', () => {
    expect(() => deploy(() => ({ architecture: lambda.Architecture.ARM_64 }))).toThrow(/built for x86_64.*infra\/build-bootstraps arm64/);
  });

  it('name the one command that builds a program that is missing', () => {
    const bootstraps = dummyBootstraps();
    rmSync(path.join(bootstraps, 'reducer', 'bootstrap'));
    expect(() => deploy(() => ({ bootstraps }))).toThrow(/there is no .*reducer\/bootstrap: run "infra\/build-bootstraps x86_64"/);
  });

  it("takes a worker of one's own, checked as ours are, and its tasks may be named", () => {
    const bootstrap = path.join(temporaryFolder(), 'my-worker');
    writeProgram(bootstrap, { machine: 'x86_64', versions: { 'libc.so.6': ['GLIBC_2.17'] } });
    const job = {
      version: 1,
      name: 'scores',
      source: { range: { start: 0, end: 10, chunk: 5 } },
      task: { name: 'score' },
      output: { uri: 's3://{deployment.bucket}/outputs/scores', format: 'lines' },
    };
    const workerProgram = { bootstrap, tasks: ['score'] };
    const { stack, template } = deploy(() => ({ workerProgram, jobs: [job] }));
    const zip = `asset.${only(template, FUNCTION, 'Worker').Code.S3Key.replace('.zip', '')}`;
    const assembly = (stack.node.root as App).synth();
    expect(readFileSync(path.join(assembly.directory, zip, 'bootstrap'))).toEqual(readFileSync(bootstrap));
    expect(() => deploy(() => ({ jobs: [job] }))).toThrow(/'score' is not registered \(none is\).*workerProgram/);
    expect(() => deploy(() => ({ workerProgram, tasks: { score: ['./score'] } }))).toThrow(/score: named in tasks and in workerProgram.tasks/);
    const gone = { bootstrap: `${bootstrap}-gone`, tasks: [] };
    expect(() => deploy(() => ({ workerProgram: gone }))).toThrow(/there is no .*my-worker-gone: run/);
  });

  it('join a VPC, with a security group of their own and the right to make interfaces', () => {
    const { template } = deploy((stack) => ({ vpc: new ec2.Vpc(stack, 'Vpc', { maxAzs: 2, natGateways: 1 }) }));
    for (const role of ['Dispatcher', 'Worker', 'Reducer']) {
      expect(only(template, FUNCTION, role).VpcConfig.SubnetIds).toHaveLength(2);
      expect(only(template, FUNCTION, role).VpcConfig.SecurityGroupIds).toHaveLength(1);
      expect(JSON.stringify(only(template, 'AWS::IAM::Policy', `${role}Role`))).toContain('ec2:CreateNetworkInterface');
    }
    expect(only(template, 'AWS::EC2::SecurityGroup', 'SecurityGroup')).not.toHaveProperty('SecurityGroupIngress');
  });

  it('refuse security groups without a VPC', () => {
    expect(() => deploy(() => ({ securityGroups: [] }))).toThrow('belong to a vpc');
  });

  it('are traced when asked for', () => {
    const { template } = deploy(() => ({ tracing: true }));
    for (const role of ['Dispatcher', 'Worker', 'Reducer']) {
      expect(only(template, FUNCTION, role).TracingConfig).toEqual({ Mode: 'Active' });
      expect(JSON.stringify(only(template, 'AWS::IAM::Policy', `${role}Role`))).toContain('xray:PutTraceSegments');
    }
  });
});

describe('the worker', () => {
  it('is given a task bundle, variables, layers and the right to run any command', () => {
    const bundle = temporaryFolder();
    writeFileSync(path.join(bundle, 'print.sh'), 'echo\n');
    const { template } = deploy((stack) => ({
      taskBundle: bundle,
      workerEnvironment: { MODE: 'fast' },
      workerLayers: [lambda.LayerVersion.fromLayerVersionArn(stack, 'Layer', 'arn:aws:lambda:eu-west-1:111111111111:layer:tools:1')],
      allowCommands: true,
    }));
    expect(environment(template, 'Worker')).toMatchObject({ FANFOLD_TASK_DIRECTORY: 'tasks', FANFOLD_ALLOW_COMMANDS: 'true', MODE: 'fast' });
    expect(only(template, FUNCTION, 'Worker').Layers).toEqual(['arn:aws:lambda:eu-west-1:111111111111:layer:tools:1']);
  });

  it('is given the ARN of a secret, never its value, and may read it', () => {
    const { template } = deploy((stack) => ({
      secrets: { DATABASE: new Secret(stack, 'Database'), TOKEN: Secret.fromSecretNameV2(stack, 'Token', 'api/token') },
    }));
    expect(environment(template, 'Worker')['DATABASE']).toEqual({ Ref: expect.stringContaining('Database') });
    const policy = JSON.stringify(only(template, 'AWS::IAM::Policy', 'WorkerRole'));
    expect(policy).toContain('secretsmanager:GetSecretValue');
    expect(policy).toContain(':secret:api/token-??????');
    expect(JSON.stringify(template.toJSON())).not.toContain('resolve:secretsmanager');
  });

  it.each([['FANFOLD_X'], ['AWS_REGION'], ['_HANDLER']])('has no variable %s, which tasks would not see', (name) => {
    expect(() => deploy(() => ({ workerEnvironment: { [name]: '1' } }))).toThrow(`variable ${name}`);
  });

  it('is an image made from a folder with a Dockerfile, beside which program and tasks are laid', () => {
    const [folder, bundle] = [temporaryFolder(), temporaryFolder()];
    writeFileSync(path.join(folder, 'Dockerfile'), 'FROM scratch\n');
    mkdirSync(path.join(bundle, 'data'));
    const { template } = deploy(() => ({ workerImage: folder, taskBundle: bundle }));
    const worker = only(template, FUNCTION, 'Worker');
    expect(worker).toMatchObject({ PackageType: 'Image', Code: { ImageUri: expect.anything() }, RecursiveLoop: 'Allow', MemorySize: 3008 });
    expect(worker).not.toHaveProperty('Runtime');
    expect(environment(template, 'Worker')['FANFOLD_TASK_DIRECTORY']).toBe('tasks');
  });

  it('takes no layers into an image', () => {
    expect(() => deploy(() => ({ workerImage: temporaryFolder(), workerLayers: [] }))).toThrow('exclude each other');
  });
});

describe('an environment', () => {
  it('that Lambda would refuse is refused at synth, with its largest variables', () => {
    const deploymentValues = { note: 'x'.repeat(4000) };
    expect(() => deploy(() => ({ deploymentValues }))).toThrow(/environment of test-dispatcher takes \d+ bytes, and Lambda allows 4096.*FANFOLD_DEPLOYMENT_VALUES \(4\d\d\d\)/);
  });

  it('keeps room for jobs with many values', () => {
    const deploymentValues = Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`value${index}`, 'x'.repeat(40)]));
    expect(() => deploy(() => ({ deploymentValues }))).not.toThrow();
  });
});

describe('the name of a pipeline', () => {
  it.each(['', '-x', 'a b', 'x'.repeat(51)])("must fit into functions' names, and '%s' does not", (pipelineName) => {
    expect(() => deploy(() => ({ pipelineName }))).toThrow('pipelineName');
  });

  it('is made from stack and construct when none is given', () => {
    const { pipeline } = deploy(() => ({ pipelineName: undefined }) as object);
    expect(pipeline.pipelineName).toBe('Stack-Test');
  });
});
