import { Ajv2020, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020';
import { existsSync, readFileSync } from 'node:fs';
import * as path from 'node:path';
import type { Finding } from './document';

/** The one schema of jobs, which the Rust types print. There is no copy of it here, so none can be out of date. */
const SCHEMA = path.join(__dirname, '..', '..', '..', 'crates', 'flow', 'job.schema.json');

interface Schema {
  readonly $defs: Readonly<Record<string, Branch>>;
}

/** One form that a value may have. */
interface Branch {
  readonly $ref?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly type?: string;
  readonly required?: readonly string[];
  readonly properties?: object;
  readonly description?: string;
  readonly oneOf?: readonly Branch[];
  readonly anyOf?: readonly Branch[];
}

let schema: Schema | undefined;
let validate: ValidateFunction | undefined;

/** Everything that the schema of jobs says against a document. */
export function schemaFindings(document: unknown): Finding[] {
  schema ??= readSchema();
  // The formats are Fanfold's own (sizes, shares, addresses); the dispatcher checks them.
  validate ??= new Ajv2020({ allErrors: true, verbose: true, strict: false, validateFormats: false }).compile(schema);
  return validate(document) ? [] : tidied(validate.errors ?? []).map(finding);
}

function readSchema(): Schema {
  if (!existsSync(SCHEMA)) {
    throw new Error(`the schema of jobs is not at ${SCHEMA}; this package is used from a checkout of Fanfold, where it stands`);
  }
  return JSON.parse(readFileSync(SCHEMA, 'utf8'));
}

/**
 * Where a value may have one of several forms, each form that it does not have complains. Left of these complaints are
 * those about the form that was meant: the ones that reach into the value, or the only ones about an object's fields.
 * Where none was, one sentence lists the forms.
 */
function tidied(errors: ErrorObject[]): ErrorObject[] {
  const meant = new Map<string, unknown>();
  for (const { instancePath } of errors.filter(isChoice)) {
    const deeper = errors.some((error) => error.instancePath.startsWith(`${instancePath}/`));
    const aboutFields = errors.filter((error) => error.instancePath === instancePath && isAboutFields(error));
    const forms = new Set(aboutFields.map(({ parentSchema }) => parentSchema));
    meant.set(instancePath, forms.size === 1 ? [...forms][0] : deeper ? 'what lies deeper' : undefined);
  }
  return errors.filter((error) => {
    if (!meant.has(error.instancePath)) return true;
    const form = meant.get(error.instancePath);
    // A form may itself be a choice; the outermost comes last.
    const isOutermost = () => error === errors.findLast((other) => isChoice(other) && other.instancePath === error.instancePath);
    return form === undefined ? isOutermost() : error.parentSchema === form && isAboutFields(error);
  });
}

function isChoice({ keyword }: ErrorObject): boolean {
  return keyword === 'oneOf' || keyword === 'anyOf';
}

function isAboutFields({ keyword }: ErrorObject): boolean {
  return keyword === 'additionalProperties' || keyword === 'required';
}

function finding(error: ErrorObject): Finding {
  const place = dotted(error.instancePath);
  const { params } = error;
  switch (error.keyword) {
    case 'additionalProperties': {
      const known = Object.keys((error.parentSchema?.['properties'] as object | undefined) ?? {});
      return {
        path: joined(place, params['additionalProperty']),
        message: `is no field; the fields here are ${known.join(', ')}`,
      };
    }
    case 'required':
      return { path: joined(place, params['missingProperty']), message: 'is missing' };
    case 'const':
      return { path: place, message: `must be ${JSON.stringify(params['allowedValue'])}` };
    case 'enum':
      return { path: place, message: `must be one of ${(params['allowedValues'] as unknown[]).map((value) => JSON.stringify(value)).join(', ')}` };
    case 'oneOf':
    case 'anyOf':
      return { path: place, message: `must be ${forms(error).join(', or ')}` };
    default:
      return { path: place, message: error.message ?? error.keyword };
  }
}

/** The forms that a value may have, but for `null`, which is as good as nothing. */
function forms(error: ErrorObject): string[] {
  return laidFlat((error.schema ?? []) as Branch[]).flatMap((branch) => {
    if (branch.required) return [`an object with "${branch.required.join('", "')}"`];
    if (branch.const !== undefined) return [JSON.stringify(branch.const)];
    if (branch.enum) return [branch.enum.map((value) => JSON.stringify(value)).join(' or ')];
    if (branch.properties) return [`an object with ${Object.keys(branch.properties).join(', ')}`];
    if (branch.type === 'null') return [];
    const types: Record<string, string> = { integer: 'a whole number', array: 'a list' };
    return [types[branch.type ?? ''] ?? branch.description?.split(/[.\n]/)[0] ?? `of type ${branch.type}`];
  });
}

/** The forms, with those of choices within choices beside the others. */
function laidFlat(branches: readonly Branch[]): Branch[] {
  return branches.map(resolved).flatMap((branch) => {
    const within = branch.oneOf ?? branch.anyOf;
    return within === undefined ? [branch] : laidFlat(within);
  });
}

function resolved(branch: Branch): Branch {
  const name = branch.$ref?.split('/').at(-1);
  return (name === undefined ? undefined : schema?.$defs[name]) ?? branch;
}

function dotted(pointer: string): string {
  return pointer
    .split('/')
    .slice(1)
    .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'))
    .reduce((place, step) => (/^\d+$/.test(step) ? `${place}[${step}]` : joined(place, step)), '');
}

function joined(place: string, field: string): string {
  return place === '' ? field : `${place}.${field}`;
}
