/** A job's document, as far as a deployment reads it. The rest is the dispatcher's. */
export interface JobDocument {
  readonly name: string;
  readonly schedule?: Schedule;
  readonly on_object_created?: OnObjectCreated;
  readonly task: { readonly command?: readonly string[] | null; readonly name?: string | null };
  readonly output: { readonly uri: string };
}

/** When a job starts by itself. */
export interface Schedule {
  readonly cron?: string | null;
  readonly rate?: string | null;
  readonly time_zone?: string | null;
  readonly flexible_window?: string | null;
  readonly enabled?: boolean | null;
}

/** Which new objects start a job. */
export interface OnObjectCreated {
  readonly bucket: string;
  readonly prefix?: string | null;
  readonly suffix?: string | null;
}

/** Something wrong with a job: where it stands, which field, and what. */
export interface Problem {
  /** The file, or which of the app's own objects. */
  readonly source: string;
  /** The field, as in `source.range.chunk`; empty for the document itself. */
  readonly path: string;
  readonly message: string;
}

/** All problems of all jobs, as one error. */
export class InvalidJobs extends Error {
  constructor(readonly problems: readonly Problem[]) {
    const lines = problems.map(({ source, path, message }) => `  ${source}: ${path === '' ? '' : `${path} `}${message}`);
    super(`the jobs of this deployment are not right:\n${lines.join('\n')}`);
    this.name = 'InvalidJobs';
  }
}
