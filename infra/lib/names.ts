import { ArnFormat, Names, Stack, Token } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import { createHash } from 'node:crypto';

/** The three functions, in the order in which a job meets them. */
export const ROLES = ['dispatcher', 'worker', 'reducer'] as const;
export type Role = (typeof ROLES)[number];

/** Longest name of a pipeline: with `-dispatcher` it stays within the 64 characters of a function's name. */
const PIPELINE_NAME_LENGTH_MAX = 50;

/**
 * What everything of a pipeline is called.
 *
 * The names are known at synth, not made by CloudFormation: the functions name one another in their environments and
 * permissions, and references would go in circles.
 */
export class PipelineNames {
  /** The pipeline itself; also its schedule group, its dashboard, and the dimension of its metrics. */
  readonly pipeline: string;
  /** The construct's path within its stack, letters and digits: what its stack outputs begin with. */
  readonly outputs: string;

  constructor(scope: Construct, pipelineName?: string) {
    this.pipeline = pipelineName ?? defaultName(scope);
    if (Token.isUnresolved(this.pipeline)) {
      throw new Error('pipelineName must be known at synth: the functions are called by names made from it; give it as plain text');
    }
    if (!/^[a-zA-Z0-9][a-zA-Z0-9_-]*$/.test(this.pipeline) || this.pipeline.length > PIPELINE_NAME_LENGTH_MAX) {
      throw new Error(
        `pipelineName '${this.pipeline}' must be 1 to ${PIPELINE_NAME_LENGTH_MAX} letters, digits, '-' or '_', and begin with a letter or digit`,
      );
    }
    this.outputs = idPath(scope).replace(/[^a-zA-Z0-9]/g, '');
  }

  /** A function's name. */
  function(role: Role): string {
    return `${this.pipeline}-${role}`;
  }

  /** A function's log group: where the console and the tools look for it. */
  logGroup(role: Role): string {
    return `/aws/lambda/${this.function(role)}`;
  }

  /** The functions' ARNs, without references to the functions. */
  functionArns(scope: Construct): Record<Role, string> {
    const arn = (role: Role) =>
      Stack.of(scope).formatArn({
        service: 'lambda',
        resource: 'function',
        resourceName: this.function(role),
        arnFormat: ArnFormat.COLON_RESOURCE_NAME,
      });
    return { dispatcher: arn('dispatcher'), worker: arn('worker'), reducer: arn('reducer') };
  }
}

/** Stack and construct, shortened with a hash where they are too long together. */
function defaultName(scope: Construct): string {
  const stack = Stack.of(scope).stackName;
  if (Token.isUnresolved(stack)) {
    // A nested stack has no name at synth; its construct's path is as unique.
    return Names.uniqueResourceName(scope, { maxLength: PIPELINE_NAME_LENGTH_MAX, separator: '-' });
  }
  const whole = `${stack}-${idPath(scope).replace(/[^a-zA-Z0-9]+/g, '-')}`;
  if (whole.length <= PIPELINE_NAME_LENGTH_MAX) {
    return whole;
  }
  const hash = createHash('sha256').update(whole).digest('hex').slice(0, 8);
  return `${whole.slice(0, PIPELINE_NAME_LENGTH_MAX - hash.length - 1)}-${hash}`;
}

function idPath(scope: Construct): string {
  const stack = Stack.of(scope).node.path;
  return stack === '' ? scope.node.path : scope.node.path.slice(stack.length + 1);
}
