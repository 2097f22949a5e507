import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';

/** What tests, and CDK under them, make in the folder for temporary files is gone when all tests have ended. */
export default function setUp(): () => void {
  const folder = mkdtempSync(path.join(tmpdir(), 'fanfold-infra-'));
  process.env.TMPDIR = folder;
  return () => rmSync(folder, { recursive: true, force: true });
}
