import { chmodSync, copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';

/** The folder of the deployed jobs beside the dispatcher's program. */
export const JOBS_FOLDER = 'jobs';

/** The folder of the task bundle beside the worker's program, in which tasks run. */
export const TASKS_FOLDER = 'tasks';

/** What is laid into a function's asset: its program, and files beside it. */
export interface Contents {
  /** The built program, which becomes `bootstrap`. */
  readonly bootstrap: string;
  /** Folders that are copied: name in the asset to source. */
  readonly folders?: Readonly<Record<string, string>>;
  /** Files that are written: path in the asset to text. */
  readonly files?: Readonly<Record<string, string>>;
}

/**
 * Lays an asset out in a folder of its own, has it used, and takes it away. CDK copies an asset when its construct is
 * made, so that `use` must make it. Nothing is compiled here, and Docker is not needed.
 */
export function laidOut<T>(contents: Contents, use: (folder: string) => T): T {
  const folder = mkdtempSync(path.join(tmpdir(), 'fanfold-asset-'));
  try {
    for (const [name, source] of Object.entries(contents.folders ?? {})) {
      // Links stay as they are: made absolute, they would lead to nothing elsewhere.
      cpSync(source, path.join(folder, name), { recursive: true, verbatimSymlinks: true });
    }
    for (const [name, text] of Object.entries(contents.files ?? {})) {
      const file = path.join(folder, name);
      mkdirSync(path.dirname(file), { recursive: true });
      writeFileSync(file, text);
    }
    const bootstrap = path.join(folder, 'bootstrap');
    copyFileSync(contents.bootstrap, bootstrap);
    chmodSync(bootstrap, 0o755);
    return use(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The folder, if it is one. */
export function existingFolder(folder: string): string {
  if (!existsSync(folder) || !statSync(folder).isDirectory()) {
    throw new Error(`there is no folder ${path.resolve(folder)}`);
  }
  return folder;
}
