import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { checkBootstrap, readProgram } from '../lib/bootstrap';
import { type MadeUp, writeProgram } from './elf';

const folder = mkdtempSync(path.join(tmpdir(), 'fanfold-elf-'));
afterAll(() => rmSync(folder, { recursive: true }));

function program(made: MadeUp): string {
  const file = path.join(folder, 'bootstrap');
  writeProgram(file, made);
  return file;
}

describe('a program', () => {
  it('is read with its machine and all versions that it needs of the C library, each once', () => {
    const versions = { 'libm.so.6': ['GLIBC_2.29'], 'libc.so.6': ['GLIBC_2.2.5', 'GLIBC_2.29', 'GLIBC_2.34'], 'libgcc_s.so.1': ['GCC_3.0'] };
    expect(readProgram(program({ machine: 'arm64', versions }))).toEqual({
      machine: 'arm64',
      glibcVersions: ['GLIBC_2.2.5', 'GLIBC_2.29', 'GLIBC_2.34'],
    });
  });

  it('that is static needs no C library', () => {
    expect(readProgram(program({ machine: 'x86_64' })).glibcVersions).toEqual([]);
  });

  it.runIf(process.platform === 'linux')('that really runs here is read too', () => {
    const { machine, glibcVersions } = readProgram(process.execPath);
    expect(machine).toBe(process.arch === 'x64' ? 'x86_64' : process.arch);
    // Each name stands in the file as a string of its own.
    const text = readFileSync(process.execPath).toString('latin1');
    expect(glibcVersions.filter((version) => !text.includes(`\0${version}\0`))).toEqual([]);
  });
});

describe('a bootstrap', () => {
  it.each([
    ['with the version that Lambda has', { machine: 'x86_64', versions: { 'libc.so.6': ['GLIBC_2.2.5', 'GLIBC_2.34'] } }],
    ['with an older version of more digits', { machine: 'x86_64', versions: { 'libc.so.6': ['GLIBC_2.3.4', 'GLIBC_2.9'] } }],
    ['that is static', { machine: 'x86_64' }],
  ] satisfies [string, MadeUp][])('%s is accepted', (_, made) => {
    expect(() => checkBootstrap(program(made), 'x86_64')).not.toThrow();
  });

  it('for another processor is refused with both names and what to run', () => {
    expect(() => checkBootstrap(program({ machine: 'arm64' }), 'x86_64')).toThrow(
      /built for arm64, and the functions are to be x86_64: run "infra\/build-bootstraps x86_64"/,
    );
    expect(() => checkBootstrap(program({ machine: 'riscv64' }), 'arm64')).toThrow(/built for machine 243/);
  });

  it.each(['GLIBC_2.35', 'GLIBC_2.100', 'GLIBC_3.0', 'GLIBC_2.34.1', 'GLIBC_ABI_DT_RELR'])(
    'that needs %s is refused, and only that version is named',
    (newer) => {
      const file = program({ machine: 'x86_64', versions: { 'libc.so.6': ['GLIBC_2.34', newer, 'GLIBC_2.4'] } });
      expect(() => checkBootstrap(file, 'x86_64')).toThrow(`needs ${newer}, and Lambda has glibc 2.34`);
    },
  );

  it('that is missing is refused with what to run', () => {
    const file = path.join(folder, 'nowhere', 'bootstrap');
    expect(() => checkBootstrap(file, 'arm64')).toThrow(`there is no ${file}: run "infra/build-bootstraps arm64"`);
  });

  it.each(['', '#!/bin/sh\nexec true\n', '\x7fELF\x01\x01'])('that is no program for Linux is refused: %j', (text) => {
    const file = path.join(folder, 'text');
    writeFileSync(file, text, 'latin1');
    expect(() => checkBootstrap(file, 'x86_64')).toThrow('is no 64-bit program for Linux');
  });

  it('that is cut short is refused, wherever it is cut', () => {
    const whole = readFileSync(program({ machine: 'x86_64', versions: { 'libc.so.6': ['GLIBC_2.34'] } }));
    const file = path.join(folder, 'cut');
    for (let bytes = 6; bytes < whole.length; bytes += 1) {
      writeFileSync(file, whole.subarray(0, bytes));
      expect(() => checkBootstrap(file, 'x86_64'), `cut at byte ${bytes}`).toThrow(`${file} is cut short`);
    }
  });
});
