import { App, Stack } from 'aws-cdk-lib';
import { Architecture } from 'aws-cdk-lib/aws-lambda';
import { Topic } from 'aws-cdk-lib/aws-sns';
import * as path from 'node:path';
import { FanfoldPipeline } from '../index';

/**
 * One pipeline in a stack of its own, with the jobs of `jobs/` and the tasks of `tasks/`. Options are CDK context, as in
 * `npx cdk deploy -c architecture=arm64 -c workerMemory=8845`.
 */
const app = new App();
const option = (name: string): string | undefined => app.node.tryGetContext(name);
const number = (name: string): number | undefined => {
  const text = option(name);
  if (text === undefined) return undefined;
  if (!/^\d+$/.test(String(text))) throw new Error(`-c ${name}=${text} must be a whole number`);
  return Number(text);
};
const memory = (name: string) => {
  const memorySize = number(name);
  return memorySize === undefined ? {} : { memorySize };
};

const architectures: Record<string, Architecture> = { x86_64: Architecture.X86_64, arm64: Architecture.ARM_64 };
const architecture = architectures[option('architecture') ?? 'x86_64'];
if (!architecture) throw new Error(`-c architecture=${option('architecture')} must be x86_64 or arm64`);

const stack = new Stack(app, 'Fanfold', { description: 'Fanfold: batches that are too big for one Lambda' });
const bootstraps = option('bootstraps');
const alarmTopic = option('alarmTopic');
const concurrency = number('workerConcurrency');

new FanfoldPipeline(stack, 'Fanfold', {
  pipelineName: option('pipelineName') ?? 'fanfold',
  architecture,
  ...(bootstraps !== undefined && { bootstraps }),
  dispatcher: memory('dispatcherMemory'),
  worker: { ...memory('workerMemory'), ...(concurrency !== undefined && { reservedConcurrency: concurrency }) },
  reducer: memory('reducerMemory'),
  jobs: option('jobs') ?? path.join(__dirname, '..', 'jobs'),
  taskBundle: path.join(__dirname, '..', 'tasks'),
  tasks: {
    squares: ['sh', 'squares.sh'],
    keep: ['sh', 'keep.sh'],
  },
  createTestEventRegistry: option('createTestEventRegistry') === 'true',
  ...(alarmTopic !== undefined && { alarmTopic: Topic.fromTopicArn(stack, 'AlarmTopic', alarmTopic) }),
});
