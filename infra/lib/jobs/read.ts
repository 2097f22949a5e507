import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import * as path from 'node:path';
import { checkJobs } from './check';
import { InvalidJobs, type JobDocument, type JobFiles, type Problem, type WorkFolder } from './document';
import { TokenNames, type DeploymentValues } from './placeholders';
import { workerMemoryMb } from '../functions';
import type { FanfoldPipelineProps, InlineJob } from '../props';

/** The jobs of a deployment, checked, and the values that their placeholders stand for. */
export interface DeployedJobs {
  readonly jobs: readonly JobDocument[];
  /** By name, what the dispatcher reads. */
  readonly files: JobFiles;
  readonly values: DeploymentValues;
}

/** A document and where it comes from. */
export interface Candidate {
  /** The file, relative to the working directory; or which of the app's own objects. */
  readonly source: string;
  /** What the job must be called: the name of its file. */
  readonly fileName?: string;
  readonly document: unknown;
  /** As it was written: a number that JavaScript cannot hold must reach the job's program all the same. */
  readonly text?: string;
}

/**
 * Reads and checks the jobs of a deployment.
 *
 * @param work where Fanfold keeps its own objects; jobs know its bucket as `{deployment.bucket}`
 * @throws InvalidJobs with all that is wrong with all jobs
 */
export function readJobs(props: FanfoldPipelineProps, work: WorkFolder): DeployedJobs {
  const given: ReadonlyArray<string | InlineJob> = typeof props.jobs === 'string' ? [props.jobs] : (props.jobs ?? []);
  const problems: Problem[] = [];
  const tokens = new TokenNames();
  const candidates = given.flatMap((entry, position) =>
    typeof entry === 'string' ? filesOf(entry).flatMap((file) => readFile(file, problems)) : [inline(entry, position, tokens, problems)],
  );
  const values = deploymentValues(props.deploymentValues ?? {}, tokens.found, work.bucket);
  problems.push(...checkJobs(candidates, work, values, { tasks: taskNames(props), memoryMb: workerMemoryMb(props) }));
  if (problems.length > 0) throw new InvalidJobs(problems);
  const files = candidates.map(({ document, text }) => [(document as JobDocument).name, text ?? `${JSON.stringify(document, undefined, 2)}\n`]);
  return { jobs: candidates.map(({ document }) => document as JobDocument), files: Object.fromEntries(files), values };
}

function filesOf(place: string): string[] {
  if (!existsSync(place)) {
    throw new Error(`there is no job file or folder of jobs at ${path.resolve(place)}`);
  }
  if (!statSync(place).isDirectory()) return [place];
  const files = readdirSync(place).filter((file) => file.endsWith('.json'));
  return files.sort().map((file) => path.join(place, file));
}

function readFile(file: string, problems: Problem[]): Candidate[] {
  const source = path.relative(process.cwd(), file);
  try {
    const text = readFileSync(file, 'utf8');
    return [{ source, fileName: path.basename(file, '.json'), document: JSON.parse(text), text }];
  } catch (error) {
    problems.push({ source, path: '', message: `is no JSON: ${(error as Error).message}` });
    return [];
  }
}

function inline(job: InlineJob, position: number, tokens: TokenNames, problems: Problem[]): Candidate {
  const name = typeof job['name'] === 'string' ? ` ('${job['name']}')` : '';
  const source = `jobs[${position}]${name}`;
  const { document, findings } = tokens.replaceIn(job);
  problems.push(...findings.map((finding) => ({ source, ...finding })));
  return { source, document };
}

function deploymentValues(given: DeploymentValues, inTokens: DeploymentValues, bucket: string): DeploymentValues {
  for (const name of Object.keys(given)) {
    if (name === 'bucket') throw new Error("the deployment value 'bucket' is the work bucket's name; give yours another name");
    if (name in inTokens) throw new Error(`the deployment value '${name}' has the name of a value made from an inline job; give yours another name`);
    if (!/^[a-zA-Z][a-zA-Z0-9_-]*$/.test(name)) {
      throw new Error(`the deployment value '${name}' must be called by letters, digits, '-' or '_', and begin with a letter`);
    }
  }
  return { bucket, ...given, ...inTokens };
}

/** The tasks that jobs may name: the registered ones, and those that the worker has in itself. A name that is both means nothing. */
function taskNames({ tasks = {}, workerProgram }: FanfoldPipelineProps): string[] {
  const own = workerProgram?.tasks ?? [];
  const twice = own.filter((name) => name in tasks);
  if (twice.length > 0) {
    throw new Error(`${twice.join(', ')}: named in tasks and in workerProgram.tasks; give one of the two another name`);
  }
  return [...Object.keys(tasks), ...own];
}
