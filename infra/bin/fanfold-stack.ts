import { Stack, type StackProps } from 'aws-cdk-lib';
import { Architecture } from 'aws-cdk-lib/aws-lambda';
import { Topic } from 'aws-cdk-lib/aws-sns';
import type { Construct } from 'constructs';
import * as path from 'node:path';
import { FanfoldPipeline } from '../index';

const ARCHITECTURES: ReadonlyMap<string, Architecture> = new Map([
  ['x86_64', Architecture.X86_64],
  ['arm64', Architecture.ARM_64],
]);

/**
 * One pipeline in a stack of its own, with the jobs of `jobs/` and the tasks of `tasks/`. What may be chosen is CDK
 * context, as in `npx cdk deploy -c architecture=arm64 -c workerMemory=8845`:
 *
 * | context | default |
 * |---|---|
 * | `pipelineName` | `fanfold`: what the functions' names begin with |
 * | `architecture` | `x86_64`, or `arm64` |
 * | `bootstraps` | `bootstraps/<architecture>` |
 * | `jobs` | `jobs`: the folder of the jobs |
 * | `dispatcherMemory`, `workerMemory`, `reducerMemory` | 512, 3008, 1769 MB |
 * | `workerConcurrency` | no limit but the account's |
 * | `alarmTopic` | the ARN of an SNS topic; nobody is told |
 * | `testEvents` | `true`; `false` makes none |
 * | `createTestEventRegistry` | `false`: the registry of the console's test events is there |
 */
export class FanfoldStack extends Stack {
  readonly pipeline: FanfoldPipeline;

  constructor(scope: Construct, id: string, props?: StackProps) {
    super(scope, id, { description: 'Fanfold: batches that are too big for one Lambda', ...props });
    const workerConcurrency = this.number('workerConcurrency');
    const alarmTopic = this.text('alarmTopic');
    this.pipeline = new FanfoldPipeline(this, 'Fanfold', {
      pipelineName: this.text('pipelineName') ?? 'fanfold',
      architecture: this.architecture(),
      dispatcher: this.memory('dispatcherMemory'),
      worker: { ...this.memory('workerMemory'), ...(workerConcurrency !== undefined && { reservedConcurrency: workerConcurrency }) },
      reducer: this.memory('reducerMemory'),
      jobs: this.text('jobs') ?? path.join(__dirname, '..', 'jobs'),
      taskBundle: path.join(__dirname, '..', 'tasks'),
      tasks: { keep: ['sh', 'keep.sh'] },
      testEvents: this.text('testEvents') !== 'false',
      createTestEventRegistry: this.text('createTestEventRegistry') === 'true',
      ...(alarmTopic !== undefined && { alarmTopic: Topic.fromTopicArn(this, 'AlarmTopic', alarmTopic) }),
    });
  }

  private text(name: string): string | undefined {
    const value: unknown = this.node.tryGetContext(name);
    return value === undefined ? undefined : String(value);
  }

  private number(name: string): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    if (!/^\d+$/.test(text)) throw new Error(`-c ${name}=${text} must be a whole number`);
    return Number(text);
  }

  private memory(name: string): { memorySize?: number } {
    const memorySize = this.number(name);
    return memorySize === undefined ? {} : { memorySize };
  }

  private architecture(): Architecture {
    const name = this.text('architecture') ?? 'x86_64';
    const architecture = ARCHITECTURES.get(name);
    if (!architecture) throw new Error(`-c architecture=${name} must be x86_64 or arm64`);
    return architecture;
  }
}
