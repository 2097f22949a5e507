import { CfnOutput } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import type { Links } from './links';
import { ROLES, type PipelineNames } from './names';

/** Tells the stack's readers, people and `fanfold --stack`, where the pipeline is. */
export function makeOutputs(scope: Construct, names: PipelineNames, workUri: string, links: Links): void {
  const output = (name: string, value: string, description: string) =>
    new CfnOutput(scope, `${name}Output`, { value, description }).overrideLogicalId(`${names.outputs}${name}`);
  // `fanfold` finds the pipelines of a stack by how this description begins.
  output('Dispatcher', names.function('dispatcher'), `Fanfold dispatcher of the pipeline ${names.pipeline}: the function that is sent jobs`);
  output('WorkUri', workUri, 'Where the artefacts of jobs are');
  output('Logs', ROLES.map((role) => names.logGroup(role)).join(','), 'The log groups of dispatcher, worker and reducer');
  output('Dashboard', links.dashboard, 'The dashboard');
}
