import { App, Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { mkdirSync, mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { FanfoldPipeline, type FanfoldPipelineProps } from '../index';
import { writeProgram } from './elf';

/** The root of this package. */
export const INFRA = path.join(__dirname, '..');

/** The root of the repository. */
export const REPOSITORY = path.join(INFRA, '..');

/** The settings of the app, which a stack under test has too. */
export const CONTEXT: Record<string, unknown> = JSON.parse(readFileSync(path.join(INFRA, 'cdk.json'), 'utf8')).context;

/** A folder that is gone when all tests have ended. */
export function temporaryFolder(): string {
  return mkdtempSync(path.join(tmpdir(), 'deployment-'));
}

/** A folder with programs that do nothing, for this processor. */
export function dummyBootstraps(machine: 'x86_64' | 'arm64' = 'x86_64'): string {
  const folder = temporaryFolder();
  for (const role of ['dispatcher', 'worker', 'reducer']) {
    mkdirSync(path.join(folder, role));
    writeProgram(path.join(folder, role, 'bootstrap'), { machine });
  }
  return folder;
}

const bootstraps = dummyBootstraps();

/** A stack with one pipeline, called `Test`, and its template. */
export interface Deployment {
  readonly stack: Stack;
  readonly pipeline: FanfoldPipeline;
  readonly template: Template;
}

/** Synthesizes a pipeline. `props` may need the stack for what belongs to it. */
export function deploy(props: (stack: Stack) => FanfoldPipelineProps = () => ({}), after?: (pipeline: FanfoldPipeline, stack: Stack) => void): Deployment {
  const stack = newStack();
  const pipeline = new FanfoldPipeline(stack, 'Test', { pipelineName: 'test', bootstraps, testEvents: true, ...props(stack) });
  after?.(pipeline, stack);
  return { stack, pipeline, template: Template.fromStack(stack) };
}

/** An empty stack of an app with the settings of ours. */
export function newStack(): Stack {
  return new Stack(new App({ context: CONTEXT }), 'Stack');
}

/** The properties of the only resource of a type, or of the one whose logical id begins with `TestId`. */
export function only(template: Template, type: string, id = ''): any {
  const found = Object.entries(template.findResources(type)).filter(([logicalId]) => logicalId.startsWith(`Test${id}`));
  if (found.length !== 1) throw new Error(`there are ${found.length} of ${type} ${id}: ${found.map(([logicalId]) => logicalId).join(', ')}`);
  return (found[0]![1] as any).Properties;
}

/** The environment of a function. */
export function environment(template: Template, role: string): Record<string, unknown> {
  return only(template, 'AWS::Lambda::Function', role).Environment.Variables;
}

/** A value of a template as text, with references in angle brackets: how tests write them. */
export function plain(value: any): string {
  if (typeof value === 'string') return value;
  if (value['Fn::Join']) return value['Fn::Join'][1].map(plain).join(value['Fn::Join'][0]);
  if (value['Fn::GetAtt']) return `<${value['Fn::GetAtt'].map((part: string) => part.replace(/[0-9A-F]{8}$/, '')).join('.')}>`;
  if (value.Ref) return `<${value.Ref.replace(/[0-9A-F]{8}$/, '')}>`;
  if (value['Fn::FindInMap']) return `<${plain(value['Fn::FindInMap'][1])}.${value['Fn::FindInMap'][2]}>`;
  return JSON.stringify(value);
}

/** A job that is right, with changes. */
export function job(changes: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    version: 1,
    name: 'numbers',
    source: { range: { end: 10, chunk: 1 } },
    task: { name: 'print' },
    output: { uri: 's3://{deployment.bucket}/outputs/{job_id}' },
    ...changes,
  };
}

/** The tasks that jobs of tests name. */
export const TASKS = { print: ['sh', 'print.sh'] };
