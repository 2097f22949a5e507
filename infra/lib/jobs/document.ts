/** A job's document, as far as a deployment reads it. The rest is the dispatcher's. */
export interface JobDocument {
  readonly name: string;
  readonly schedule?: Schedule | null;
  readonly on_object_created?: OnObjectCreated | null;
  readonly task: { readonly name?: string | null };
  readonly memory_mb?: number | null;
  readonly output: { readonly uri: string };
}

/** The content of each job's file, by the job's name. */
export type JobFiles = Readonly<Record<string, string>>;

/** When a job starts by itself. */
export interface Schedule {
  readonly cron?: string | null;
  readonly rate?: string | null;
  readonly time_zone?: string;
  readonly flexible_window?: string | null;
  readonly enabled?: boolean;
}

/** Which new objects start a job. The bucket's name may hold `{deployment.NAME}`. */
export interface OnObjectCreated {
  readonly bucket: string;
  readonly prefix?: string;
  readonly suffix?: string;
}

/** Where Fanfold keeps its own objects. */
export interface WorkFolder {
  /** The bucket's name. */
  readonly bucket: string;
  /** Empty, or with `/` at its end. */
  readonly prefix: string;
}

/** Something wrong with a document: which field, and what. */
export interface Finding {
  /** The field, as in `source.range.chunk`; empty for the document itself. */
  readonly path: string;
  readonly message: string;
}

/** Something wrong with a job of this deployment. */
export interface Problem extends Finding {
  /** The file, or which of the app's own objects. */
  readonly source: string;
}

/** All problems of all jobs, as one error. */
export class InvalidJobs extends Error {
  constructor(problems: readonly Problem[]) {
    const lines = problems.map(({ source, path, message }) => `  ${source}: ${path === '' ? '' : `${path} `}${message}`);
    super(`the jobs of this deployment are not right:\n${lines.join('\n')}`);
    this.name = 'InvalidJobs';
  }
}
