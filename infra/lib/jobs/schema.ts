import { Ajv2020, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020';
import { existsSync, readFileSync } from 'node:fs';
import * as path from 'node:path';
import type { Finding } from './document';

/** The one schema of jobs, which the Rust types print. There is no copy of it here, so none can be out of date. */
const SCHEMA = path.join(__dirname, '..', '..', '..', 'crates', 'flow', 'job.schema.json');

let validate: ValidateFunction | undefined;

/** Everything that the schema of jobs says against a document. */
export function schemaFindings(document: unknown): Finding[] {
  validate ??= compile();
  return validate(document) ? [] : tidied(validate.errors ?? []).map(finding);
}

function compile(): ValidateFunction {
  if (!existsSync(SCHEMA)) {
    throw new Error(`the schema of jobs is not at ${SCHEMA}; this package is used from a checkout of Fanfold, where it stands`);
  }
  // The formats are Fanfold's own (sizes, shares, addresses); the dispatcher checks them.
  const ajv = new Ajv2020({ allErrors: true, verbose: true, strict: false, validateFormats: false });
  const schema = JSON.parse(readFileSync(SCHEMA, 'utf8'));
  schema.properties = { schedule: { type: 'object' }, on_object_created: { type: 'object' }, ...schema.properties };
  return ajv.compile(schema);
}

/**
 * Where a value may have one of several forms, each form that it does not have complains. Of those complaints the ones
 * that reach deepest into the value are about the form that was meant; where none does, one sentence lists the forms.
 */
function tidied(errors: ErrorObject[]): ErrorObject[] {
  const choices = errors.filter(isChoice);
  return errors.filter((error) => {
    const choice = choices.find(({ instancePath }) => instancePath === error.instancePath);
    if (choice === undefined) return true;
    const deeper = errors.some(({ instancePath }) => instancePath.startsWith(`${choice.instancePath}/`));
    return !deeper && error === choice;
  });
}

function isChoice({ keyword }: ErrorObject): boolean {
  return keyword === 'oneOf' || keyword === 'anyOf';
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

/** The forms that a value may have, as its schema describes them. */
function forms(error: ErrorObject): string[] {
  const branches = (error.schema ?? []) as Record<string, unknown>[];
  return branches.map((branch) => {
    if (Array.isArray(branch['required'])) return `an object with "${branch['required'].join('", "')}"`;
    if ('const' in branch) return JSON.stringify(branch['const']);
    if (Array.isArray(branch['enum'])) return branch['enum'].map((value) => JSON.stringify(value)).join(' or ');
    if (typeof branch['description'] === 'string') return branch['description'].split(/[.\n]/)[0]!.toLowerCase();
    if (typeof branch['type'] === 'string') return `a value of type ${branch['type']}`;
    return 'another form of it';
  });
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
