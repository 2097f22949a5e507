import { SWEEP } from '../nets';
import type { JobDocument, OnObjectCreated, Problem, Schedule } from './document';
import { filled, namesIn, type DeploymentValues } from './placeholders';
import type { Candidate } from './read';
import { schemaFindings, type Finding } from './schema';

/** Everything that is wrong with the jobs of a deployment: by the schema, and by what the deployment makes of them. */
export function checkJobs(candidates: readonly Candidate[], values: DeploymentValues, tasks: readonly string[], allowCommands: boolean): Problem[] {
  const problems: Problem[] = [];
  const sources = new Map<string, string>();
  for (const { source, fileName, document } of candidates) {
    const findings = schemaFindings(document);
    if (findings.length === 0) {
      // Only now is it known to be one.
      const job = document as JobDocument;
      findings.push(...nameFindings(job, fileName, sources.get(job.name)));
      findings.push(...taskFindings(job, tasks, allowCommands));
      findings.push(...placeholderFindings(document, values));
      if (job.schedule) findings.push(...scheduleFindings(job.schedule));
      if (job.on_object_created) findings.push(...triggerFindings(job.on_object_created, job.output.uri, values));
      sources.set(job.name, source);
    }
    problems.push(...findings.map((finding) => ({ source, ...finding })));
  }
  return problems;
}

function nameFindings({ name, schedule }: JobDocument, fileName: string | undefined, taken: string | undefined): Finding[] {
  const findings: Finding[] = [];
  const say = (message: string) => findings.push({ path: 'name', message });
  if (!/^[a-zA-Z0-9._-]{1,64}$/.test(name)) say(`must be 1 to 64 letters, digits, '.', '_' or '-', not '${name}'`);
  if (fileName !== undefined && fileName !== name) say(`is '${name}', but the file is called ${fileName}.json; a deployed job is found by its file's name`);
  if (taken !== undefined) say(`'${name}' is the name of the job of ${taken} too; a job is started by its name`);
  if (schedule && name === SWEEP) say(`'${SWEEP}' is the name of the pipeline's own schedule; choose another`);
  return findings;
}

function taskFindings({ task }: JobDocument, tasks: readonly string[], allowCommands: boolean): Finding[] {
  const named = tasks.length === 0 ? 'none is' : `there are ${tasks.join(', ')}`;
  if (task.name && !tasks.includes(task.name)) {
    return [{ path: 'task.name', message: `'${task.name}' is not registered (${named}); give it in the pipeline's tasks` }];
  }
  if (task.command && !allowCommands) {
    return [{ path: 'task.command', message: `runs nowhere in this deployment: name a registered task (${named}), or set allowCommands` }];
  }
  return [];
}

function placeholderFindings(document: unknown, values: DeploymentValues): Finding[] {
  const known = Object.keys(values);
  return texts(document, '').flatMap(({ path, text }) =>
    namesIn(text)
      .filter((name) => !known.includes(name))
      .map((name) => ({ path, message: `asks for {deployment.${name}}, which this deployment does not give; it gives ${known.join(', ')}` })),
  );
}

function texts(value: unknown, path: string): { path: string; text: string }[] {
  if (typeof value === 'string') return [{ path, text: value }];
  if (Array.isArray(value)) return value.flatMap((entry, index) => texts(entry, `${path}[${index}]`));
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, entry]) => texts(entry, path === '' ? name : `${path}.${name}`));
}

function scheduleFindings({ cron, rate, time_zone, flexible_window }: Schedule): Finding[] {
  const findings: Finding[] = [];
  const say = (field: string, message: string) => findings.push({ path: `schedule${field}`, message });
  if ((cron == null) === (rate == null)) say('', 'must have either cron or rate');
  if (cron != null && !/^\S+( \S+){5}$/.test(cron)) {
    say('.cron', `must have six fields (minute, hour, day of month, month, day of week, year), not '${cron}'`);
  }
  if (rate != null && !/^(1 (minute|hour|day)|([2-9]|[1-9]\d+) (minutes|hours|days))$/.test(rate)) {
    say('.rate', `must be a number and minutes, hours or days, such as '1 day' or '15 minutes', not '${rate}'`);
  }
  if (time_zone != null && !isTimeZone(time_zone)) say('.time_zone', `'${time_zone}' is no time zone such as Europe/Berlin`);
  if (flexible_window != null && windowMinutes(flexible_window) === undefined) {
    say('.flexible_window', `must be 1 to 1440 whole minutes, such as '15m', not '${flexible_window}'`);
  }
  return findings;
}

/** A flexible window in minutes; `undefined` for what is none. */
export function windowMinutes(text: string): number | undefined {
  const match = /^(\d+)(m|h)$/.exec(text);
  if (!match) return undefined;
  const minutes = Number(match[1]) * (match[2] === 'h' ? 60 : 1);
  return minutes >= 1 && minutes <= 1440 ? minutes : undefined;
}

function isTimeZone(name: string): boolean {
  try {
    return /^[A-Z]/.test(name) && new Intl.DateTimeFormat('en', { timeZone: name }) !== undefined;
  } catch {
    return false;
  }
}

/** A job whose output is an object that starts it again would never end, and cost without end. */
function triggerFindings(trigger: OnObjectCreated, output: string, values: DeploymentValues): Finding[] {
  const [bucket, key] = parts(filled(output, values));
  if (bucket !== filled(trigger.bucket, values)) return [];
  const beginning = key.slice(0, position(key, key.indexOf('{')));
  const end = key.slice(key.lastIndexOf('}') + 1);
  const [prefix, suffix] = [trigger.prefix ?? '', trigger.suffix ?? ''].map((text) => filled(text, values)) as [string, string];
  const mayBegin = beginning.startsWith(prefix) || (beginning.length < key.length && prefix.startsWith(beginning));
  const mayEnd = end.endsWith(suffix) || (end.length < key.length && suffix.endsWith(end));
  if (!mayBegin || !mayEnd) return [];
  return [{ path: 'output.uri', message: 'may be an object that on_object_created starts this job for again, without end; write it under another prefix' }];
}

function parts(uri: string): [bucket: string, key: string] {
  const [bucket = '', ...key] = uri.replace(/^s3:\/\//, '').split('/');
  return [bucket, key.join('/')];
}

function position(text: string, found: number): number {
  return found < 0 ? text.length : found;
}
