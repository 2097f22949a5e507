import { SWEEP } from '../nets';
import type { Finding, JobDocument, Problem, WorkFolder } from './document';
import { objectRuleFindings, reachFindings } from './object-rule';
import { namesIn, type DeploymentValues } from './placeholders';
import type { Candidate } from './read';
import { scheduleFindings } from './schedule';
import { schemaFindings } from './schema';

/** What jobs must suit of the worker. */
export interface Worker {
  /** The tasks that it knows by name. */
  readonly tasks: readonly string[];
  readonly memoryMb: number;
}

/**
 * Everything that is wrong with the jobs of a deployment: by the schema, and by what the deployment makes of them.
 * What only the program that runs a job can say of it (does a separator overlap itself?) the dispatcher says.
 */
export function checkJobs(candidates: readonly Candidate[], work: WorkFolder, values: DeploymentValues, worker: Worker): Problem[] {
  const sources = new Map<string, string>();
  return candidates.flatMap(({ source, fileName, document }) => {
    const findings = schemaFindings(document);
    if (findings.length === 0) {
      // Only now is it known to be one.
      const job = document as JobDocument;
      findings.push(...nameFindings(job, fileName, sources.get(job.name)), ...jobFindings(job, work, values, worker));
      sources.set(job.name, source);
    }
    return findings.map((finding) => ({ source, ...finding }));
  });
}

function nameFindings({ name, schedule }: JobDocument, fileName: string | undefined, taken: string | undefined): Finding[] {
  const messages: string[] = [];
  if (!/^[a-zA-Z0-9._-]{1,64}$/.test(name)) messages.push(`must be 1 to 64 letters, digits, '.', '_' or '-', not '${name}'`);
  if (fileName !== undefined && fileName !== name) {
    messages.push(`is '${name}', but the file is called ${fileName}.json; call both alike, so that a job is found by its name`);
  }
  if (taken !== undefined) messages.push(`'${name}' is the name of the job of ${taken} too; a job is started by its name`);
  if (schedule && name === SWEEP) messages.push(`'${SWEEP}' is the name of the pipeline's own schedule; choose another`);
  return messages.map((message) => ({ path: 'name', message }));
}

function jobFindings(job: JobDocument, work: WorkFolder, values: DeploymentValues, worker: Worker): Finding[] {
  const { schedule, on_object_created: trigger } = job;
  return [
    ...taskFindings(job, worker.tasks),
    ...memoryFindings(job, worker.memoryMb),
    ...placeholderFindings(job, '', Object.keys(values)),
    ...(schedule ? scheduleFindings(schedule) : []),
    ...(trigger ? [...objectRuleFindings(trigger, job, values), ...reachFindings(trigger, work, values)] : []),
  ];
}

function taskFindings({ task: { name } }: JobDocument, tasks: readonly string[]): Finding[] {
  if (name == null || tasks.includes(name)) return [];
  const registered = tasks.length === 0 ? 'none is' : `there are ${tasks.join(', ')}`;
  return [{ path: 'task.name', message: `'${name}' is not registered (${registered}); give it among the pipeline's tasks, or its workerProgram's` }];
}

function memoryFindings({ memory_mb: asked }: JobDocument, memoryMb: number): Finding[] {
  if (asked == null || asked <= memoryMb) return [];
  return [{ path: 'memory_mb', message: `must be at most ${memoryMb}, which is what a worker has in MB, not ${asked}; set it lower, or the worker's memorySize higher` }];
}

function placeholderFindings(value: unknown, path: string, known: readonly string[]): Finding[] {
  if (typeof value === 'string') {
    const unknown = namesIn(value).filter((name) => !known.includes(name));
    return unknown.map((name) => ({ path, message: `asks for {deployment.${name}}; this deployment gives ${known.join(', ')}` }));
  }
  if (Array.isArray(value)) return value.flatMap((entry, index) => placeholderFindings(entry, `${path}[${index}]`, known));
  if (typeof value !== 'object' || value === null) return [];
  const fields = Object.entries(value);
  return fields.flatMap(([name, entry]) => placeholderFindings(entry, path === '' ? name : `${path}.${name}`, known));
}
