import { writeFileSync } from 'node:fs';

/** What a made-up program asks for. */
export interface MadeUp {
  readonly machine: 'x86_64' | 'arm64' | 'riscv64';
  /** Needed versions by library; none for a static program. */
  readonly versions?: Readonly<Record<string, readonly string[]>>;
}

const MACHINES = { x86_64: 62, arm64: 183, riscv64: 243 };
const HEADER_BYTES = 64;
const SEGMENT_BYTES = 56;
const DYNAMIC_ENTRIES = 4;

/** Where the program is loaded: not where it lies in the file, so that a reader must tell the two apart. */
const BASE = 0x400000;

/** Writes a program that asks for this and does nothing: enough of ELF for the loader's tables. */
export function writeProgram(file: string, { machine, versions }: MadeUp): void {
  const strings = new Strings();
  const needs = needTable(Object.entries(versions ?? {}), strings);
  const dynamicAt = HEADER_BYTES + 2 * SEGMENT_BYTES;
  const dynamicBytes = versions === undefined ? 0 : DYNAMIC_ENTRIES * 16;
  const needsAt = dynamicAt + dynamicBytes;
  const stringsAt = needsAt + needs.length;
  const bytes = stringsAt + strings.bytes().length;

  const header = Buffer.alloc(HEADER_BYTES);
  header.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  header.writeUInt16LE(MACHINES[machine], 18);
  header.writeBigUInt64LE(BigInt(HEADER_BYTES), 32);
  header.writeUInt16LE(SEGMENT_BYTES, 54);
  header.writeUInt16LE(versions === undefined ? 1 : 2, 56);
  const tags: [number, number][] = [
    [5, BASE + stringsAt],
    [0x6ffffffe, BASE + needsAt],
    [0x6fffffff, Object.keys(versions ?? {}).length],
    [0, 0],
  ];
  const dynamic = Buffer.concat(tags.map(([tag, value]) => words64(tag, value))).subarray(0, dynamicBytes);
  const segments = [segment(1, 0, bytes), segment(2, dynamicAt, dynamicBytes)];
  writeFileSync(file, Buffer.concat([header, ...segments, dynamic, needs, strings.bytes()]));
}

function segment(type: number, offset: number, bytes: number): Buffer {
  const entry = Buffer.alloc(SEGMENT_BYTES);
  entry.writeUInt32LE(type, 0);
  words64(offset, BASE + offset, BASE + offset, bytes, bytes).copy(entry, 8);
  return entry;
}

/** The table of needed versions: an entry a library, each followed by its versions. */
function needTable(libraries: [string, readonly string[]][], strings: Strings): Buffer {
  const entries = libraries.map(([library, versions], index) => {
    const isLast = index === libraries.length - 1;
    const next = isLast ? 0 : 16 * (1 + versions.length);
    const entry = Buffer.alloc(16);
    entry.writeUInt16LE(1, 0);
    entry.writeUInt16LE(versions.length, 2);
    [strings.add(library), 16, next].forEach((word, place) => entry.writeUInt32LE(word, 4 + 4 * place));
    return Buffer.concat([entry, ...versions.map((version, place) => neededVersion(strings.add(version), place === versions.length - 1))]);
  });
  return Buffer.concat(entries);
}

function neededVersion(name: number, isLast: boolean): Buffer {
  const entry = Buffer.alloc(16);
  entry.writeUInt32LE(name, 8);
  entry.writeUInt32LE(isLast ? 0 : 16, 12);
  return entry;
}

function words64(...words: number[]): Buffer {
  const bytes = Buffer.alloc(8 * words.length);
  words.forEach((word, index) => bytes.writeBigUInt64LE(BigInt(word), 8 * index));
  return bytes;
}

/** A string table in the making. */
class Strings {
  private text = '\0';

  /** Adds a string, and gives where it begins. */
  add(text: string): number {
    const at = this.text.length;
    this.text += `${text}\0`;
    return at;
  }

  bytes(): Buffer {
    return Buffer.from(this.text, 'latin1');
  }
}
