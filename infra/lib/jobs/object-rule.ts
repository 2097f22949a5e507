import * as events from 'aws-cdk-lib/aws-events';
import type { Construct } from 'constructs';
import type { Finding, JobDocument, OnObjectCreated, WorkFolder } from './document';
import { filled, type DeploymentValues } from './placeholders';
import type { DispatcherTarget } from './targets';

/** A job whose output is an object that starts it again would never end, and cost without end. */
export function objectRuleFindings(trigger: OnObjectCreated, job: JobDocument, values: DeploymentValues): Finding[] {
  const output = filled(job.output.uri, values).replaceAll('{object_bucket}', filled(trigger.bucket, values));
  const [bucket = '', ...rest] = output.replace(/^s3:\/\//, '').split('/');
  const key = rest.join('/').replaceAll('{name}', job.name);
  const { prefix = '', suffix = '' } = trigger;
  const known = key.split(/\{[^{}]*\}/);
  const [beginning, end] = [known[0]!, known.at(-1)!];
  const isWhole = known.length === 1;
  const mayBegin = beginning.startsWith(prefix) || (!isWhole && prefix.startsWith(beginning));
  const mayEnd = end.endsWith(suffix) || (!isWhole && suffix.endsWith(end));
  if (bucket !== filled(trigger.bucket, values) || !mayBegin || !mayEnd) return [];
  const message = 'may be an object for which on_object_created starts this job again, without end; write it under another prefix';
  return [{ path: 'output.uri', message }];
}

/** The names of the artefacts that a job has once. */
const DOCUMENTS = ['job.json', 'plan.json', 'lease.json', 'concat.json', 'cancel.json', 'joblog.tsv', 'result.json', 'redrive.json'];

/** A trigger that artefacts match starts a run for each of them, and these runs have artefacts themselves. */
export function reachFindings({ bucket, prefix = '', suffix = '' }: OnObjectCreated, work: WorkFolder, values: DeploymentValues): Finding[] {
  const isReached = filled(bucket, values) === work.bucket && (prefix.startsWith(work.prefix) || work.prefix.startsWith(prefix));
  if (!isReached || !artefactMayEndIn(suffix)) return [];
  const message = `reaches Fanfold's own objects below ${work.prefix}, so that each run would start others; choose a prefix apart from it, or a suffix that none of them has, such as '.csv'`;
  return [{ path: 'on_object_created.prefix', message }];
}

/** By the rule of `may_end_in` in crates/flow/src/keys.rs, where the keys are made. */
function artefactMayEndIn(suffix: string): boolean {
  const last = suffix.split('/').at(-1)!;
  const ofDocument = /^\d*\.json$/.test(last) || DOCUMENTS.some((document) => document.endsWith(last));
  const ofChunkResult = /^[\d.]*$/.test(last);
  const ofMarker = /^[\w-]*$/.test(last);
  return ofDocument || ofChunkResult || ofMarker;
}

/** A job's rule. It sends the event as it is: the dispatcher finds the job by the object, as for a notice from S3. */
export function makeObjectRule(
  scope: Construct,
  job: string,
  trigger: OnObjectCreated,
  values: DeploymentValues,
  target: DispatcherTarget,
): events.Rule {
  const key = keyPattern(trigger);
  return new events.Rule(scope, `Objects-${job}`, {
    description: `Fanfold job ${job}: new objects`,
    eventPattern: {
      source: ['aws.s3'],
      detailType: ['Object Created'],
      detail: { bucket: { name: [filled(trigger.bucket, values)] }, ...(key && { object: { key: [key] } }) },
    },
    targets: [target.rule()],
  });
}

/** One of EventBridge's filters. It has none for both ends at once but the wildcard, in which `*` and `\` are escaped. */
function keyPattern({ prefix = '', suffix = '' }: OnObjectCreated): Record<string, string> | undefined {
  const escaped = (text: string) => text.replace(/[*\\]/g, '\\$&');
  if (prefix !== '' && suffix !== '') return { wildcard: `${escaped(prefix)}*${escaped(suffix)}` };
  if (prefix !== '') return { prefix };
  return suffix === '' ? undefined : { suffix };
}
