import { existsSync, readFileSync } from 'node:fs';

/** A processor's family, in Lambda's words. */
export type BootstrapArchitecture = 'x86_64' | 'arm64';

/** What a program asks of the machine that it is to run on. */
export interface Program {
  /** `x86_64`, `arm64`, or another machine's number in ELF's list. */
  readonly machine: string;
  /** The versions of the C library's interface that its symbols come from, such as `GLIBC_2.34`; none if it is static. */
  readonly glibcVersions: readonly string[];
}

/** The C library of `provided.al2023`. */
const LAMBDA_GLIBC = '2.34';

/**
 * Checks that a function's program can run on Lambda: one for another processor or a newer C library deploys well, and
 * dies when it is first invoked.
 *
 * @throws Error with what is wrong and what to run.
 */
export function checkBootstrap(file: string, architecture: BootstrapArchitecture): void {
  const build = `run "infra/build-bootstraps ${architecture}"`;
  if (!existsSync(file)) {
    throw new Error(`there is no ${file}: ${build}, which builds it`);
  }
  const program = readProgram(file);
  if (program.machine !== architecture) {
    throw new Error(
      `${file} is built for ${program.machine}, and the functions are to be ${architecture}: ${build}, or set the architecture`,
    );
  }
  const missing = program.glibcVersions.filter((version) => !isInLambda(version));
  if (missing.length > 0) {
    throw new Error(`${file} needs ${missing.join(', ')}, and Lambda has glibc ${LAMBDA_GLIBC}: ${build}, which links against that`);
  }
}

/**
 * Reads what a program asks for, as the dynamic loader would.
 *
 * @throws Error if it is no 64-bit ELF file, or is cut short.
 */
export function readProgram(file: string): Program {
  const elf = readFileSync(file);
  const is64BitLittleEndian = elf.subarray(0, 6).equals(Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1]));
  if (!is64BitLittleEndian) {
    throw new Error(`${file} is no 64-bit program for Linux (ELF)`);
  }
  try {
    const machine = elf.readUInt16LE(18);
    return { machine: MACHINES.get(machine) ?? `machine ${machine}`, glibcVersions: glibcVersions(elf) };
  } catch (error) {
    throw error instanceof RangeError ? new Error(`${file} is cut short: ${error.message}`) : error;
  }
}

/** `e_machine`: EM_X86_64 and EM_AARCH64. */
const MACHINES: ReadonlyMap<number, BootstrapArchitecture> = new Map([
  [62, 'x86_64'],
  [183, 'arm64'],
]);

/** Whether Lambda's C library has this version. Names without a number, such as GLIBC_ABI_DT_RELR, are all newer. */
function isInLambda(version: string): boolean {
  const number = /^GLIBC_(\d+(?:\.\d+)*)$/.exec(version)?.[1];
  return number !== undefined && number.localeCompare(LAMBDA_GLIBC, 'en', { numeric: true }) <= 0;
}

/** One entry of the program header: a piece of the file, and where it lies in memory. */
interface Segment {
  readonly type: number;
  readonly offset: number;
  readonly address: number;
  readonly bytes: number;
}

// The numbers below are those of the ELF specification and of <elf.h>, for 64-bit files.
const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const DT_STRTAB = 5;
const DT_VERNEED = 0x6ffffffe;
const DT_VERNEEDNUM = 0x6fffffff;

/** The names in the table of needed versions that the C library defines. */
function glibcVersions(elf: Buffer): string[] {
  const segments = readSegments(elf);
  const dynamic = readDynamic(elf, segments);
  const [strings, needs, needsCount] = [dynamic.get(DT_STRTAB), dynamic.get(DT_VERNEED), dynamic.get(DT_VERNEEDNUM)];
  if (strings === undefined || needs === undefined || needsCount === undefined) {
    return [];
  }
  const stringsAt = offsetOf(strings, segments);
  const names = neededVersions(elf, offsetOf(needs, segments), needsCount).map((name) => textAt(elf, stringsAt + name));
  return [...new Set(names.filter((name) => name.startsWith('GLIBC_')))].sort();
}

function readSegments(elf: Buffer): Segment[] {
  const [tableAt, entryBytes, count] = [number64(elf, 32), elf.readUInt16LE(54), elf.readUInt16LE(56)];
  return Array.from({ length: count }, (_, index) => {
    const at = tableAt + index * entryBytes;
    return {
      type: elf.readUInt32LE(at),
      offset: number64(elf, at + 8),
      address: number64(elf, at + 16),
      bytes: number64(elf, at + 32),
    };
  });
}

/** The dynamic section: tag to value. A static program has none. */
function readDynamic(elf: Buffer, segments: readonly Segment[]): Map<number, number> {
  const entries = new Map<number, number>();
  const dynamic = segments.find((segment) => segment.type === PT_DYNAMIC);
  const end = dynamic === undefined ? 0 : dynamic.offset + dynamic.bytes;
  for (let at = dynamic?.offset ?? 0; at < end; at += 16) {
    entries.set(number64(elf, at), number64(elf, at + 8));
  }
  return entries;
}

/** Walks the needed libraries, and the versions of each: where the versions' names begin in the string table. */
function neededVersions(elf: Buffer, tableAt: number, libraries: number): number[] {
  const names: number[] = [];
  for (let library = 0, at = tableAt; library < libraries; library += 1) {
    const versions = elf.readUInt16LE(at + 2);
    for (let version = 0, versionAt = at + elf.readUInt32LE(at + 8); version < versions; version += 1) {
      names.push(elf.readUInt32LE(versionAt + 8));
      versionAt += elf.readUInt32LE(versionAt + 12);
    }
    at += elf.readUInt32LE(at + 12);
  }
  return names;
}

/** Where in the file that lies which the program has at this address. */
function offsetOf(address: number, segments: readonly Segment[]): number {
  const holds = ({ type, address: start, bytes }: Segment) => type === PT_LOAD && address >= start && address < start + bytes;
  const segment = segments.find(holds);
  if (segment === undefined) {
    throw new RangeError(`no segment holds the address ${address}`);
  }
  return segment.offset + (address - segment.address);
}

function textAt(elf: Buffer, at: number): string {
  const end = elf.indexOf(0, at);
  if (end < 0) {
    throw new RangeError(`a name at byte ${at} has no end`);
  }
  return elf.toString('latin1', at, end);
}

function number64(elf: Buffer, at: number): number {
  return Number(elf.readBigUInt64LE(at));
}
