import { Token, Tokenization } from 'aws-cdk-lib';
import type { Finding } from './document';

/** Values by the names that jobs use for them: `{deployment.NAME}`. */
export type DeploymentValues = Readonly<Record<string, string>>;

const PLACEHOLDER = /\{deployment\.([^{}]*)\}/g;

/** The fields whose texts the dispatcher fills in. Elsewhere a text that only CloudFormation knows has no way into a job. */
const FILLED = [
  /^source\.objects\.uri(\[\d+\])?$/,
  /^source\.items\.uri$/,
  /^task\.(args|command)\[\d+\]$/,
  /^task\.environment\./,
  /^output\.uri$/,
  /^on_object_created\.bucket$/,
];

/**
 * Gives each text that only CloudFormation knows a name, under which the job finds it at run time. A job is a file
 * beside the dispatcher's program, written at synth, and cannot hold such a text itself.
 */
export class TokenNames {
  private readonly values: Record<string, string> = {};

  /** The values, by their names. */
  get found(): DeploymentValues {
    return this.values;
  }

  /** The document with `{deployment.…}` in the place of each token, and what cannot be replaced. */
  replaceIn(document: unknown): { document: unknown; findings: Finding[] } {
    const findings: Finding[] = [];
    const walk = (value: unknown, path: string): unknown => {
      if (typeof value === 'string') return this.replaceText(value, path, findings);
      if (Array.isArray(value)) return value.map((entry, index) => walk(entry, `${path}[${index}]`));
      if (typeof value === 'number' && Token.isUnresolved(value)) {
        findings.push({ path, message: 'is a number that only CloudFormation knows; give one that is known at synth' });
        return 0;
      }
      if (typeof value === 'object' && value !== null) {
        return Object.fromEntries(
          Object.entries(value).map(([name, entry]) => [name, walk(entry, path === '' ? name : `${path}.${name}`)]),
        );
      }
      return value;
    };
    return { document: walk(document, ''), findings };
  }

  private replaceText(text: string, path: string, findings: Finding[]): string {
    if (!Token.isUnresolved(text)) return text;
    if (!FILLED.some((field) => field.test(path))) {
      const message = 'holds a text that only CloudFormation knows; such texts may stand in addresses, and in arguments and variables of a task';
      findings.push({ path, message });
      return text;
    }
    return Tokenization.reverseString(text)
      .mapTokens({ mapToken: (token) => `{deployment.${this.nameOf(token.toString())}}` })
      .join({ join: (left: unknown, right: unknown) => `${left ?? ''}${right ?? ''}` });
  }

  private nameOf(token: string): string {
    const known = Object.entries(this.values).find(([, value]) => value === token);
    if (known) return known[0];
    const name = `inline_${Object.keys(this.values).length + 1}`;
    this.values[name] = token;
    return name;
  }
}

/** The text with the deployment's values in it, as far as there are such values. */
export function filled(text: string, values: DeploymentValues): string {
  return text.replace(PLACEHOLDER, (placeholder, name: string) => values[name] ?? placeholder);
}

/** The names of the deployment's values that a text asks for. */
export function namesIn(text: string): string[] {
  return [...text.matchAll(PLACEHOLDER)].map(([, name]) => name!);
}
