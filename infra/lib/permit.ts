import { Stack } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import { acknowledge } from './acknowledge';

/**
 * Something that a role may do, and the code that needs it. Nothing else is granted: no managed policy, and no grant of
 * CDK's that brings more than was asked for.
 */
export interface Permission {
  /** The code that makes the request: files of this repository, or the service that acts for a function. */
  readonly neededBy: string;
  readonly actions: readonly string[];
  readonly resources: readonly string[];
  readonly conditions?: Record<string, Record<string, unknown>>;
  /** Why a resource has a `*`. Without a reason it may have none. */
  readonly wildcard?: string;
}

/** Grants what is listed, and tells cdk-nag the reason of each `*`. */
export function permit(role: iam.Role, ...permissions: Permission[]): void {
  for (const { neededBy, actions, resources, conditions, wildcard } of permissions) {
    for (const wild of [...actions, ...resources].filter((text) => /[*?]/.test(text))) {
      if (wildcard === undefined) throw new Error(`'${wild}' (${neededBy}) has a wildcard without a reason`);
      acknowledge(role, `IAM5[Resource::${flat(Stack.of(role).resolve(wild))}]`, wildcard);
    }
    role.addToPolicy(new iam.PolicyStatement({ actions: [...actions], resources: [...resources], ...(conditions && { conditions }) }));
  }
}

/** A resource as cdk-nag writes it: references in angle brackets. */
function flat(resource: string | Record<string, unknown>): string {
  if (typeof resource === 'string') return resource;
  const { Ref: ref, 'Fn::GetAtt': attribute, 'Fn::Join': join } = resource as {
    Ref?: string;
    'Fn::GetAtt'?: string[];
    'Fn::Join'?: [string, (string | Record<string, unknown>)[]];
  };
  if (join) return join[1].map(flat).join(join[0]);
  if (attribute) return `<${attribute.join('.')}>`;
  return ref === undefined ? JSON.stringify(resource) : `<${ref}>`;
}
