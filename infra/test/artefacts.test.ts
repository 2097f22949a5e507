import { mkdirSync, readlinkSync, symlinkSync, writeFileSync } from 'node:fs';
import * as path from 'node:path';
import { expect, it } from 'vitest';
import { laidOut } from '../lib/artefacts';
import { temporaryFolder } from './deployments';

it('a link within a bundle leads to the same place wherever the bundle is laid', () => {
  const bundle = temporaryFolder();
  mkdirSync(path.join(bundle, 'bin'));
  writeFileSync(path.join(bundle, 'program'), '');
  symlinkSync('../program', path.join(bundle, 'bin', 'link'));
  const contents = { bootstrap: path.join(bundle, 'program'), folders: { tasks: bundle } };
  expect(laidOut(contents, (folder) => readlinkSync(path.join(folder, 'tasks', 'bin', 'link')))).toBe('../program');
});
