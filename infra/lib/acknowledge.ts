import { Validations } from 'aws-cdk-lib';
import type { Construct } from 'constructs';

/**
 * Says why a rule of cdk-nag's AwsSolutions does not hold here: beside the construct that it is about, so that an app
 * that runs cdk-nag finds the reason too.
 */
export function acknowledge(construct: Construct, rule: string, reason: string): void {
  Validations.of(construct).acknowledge({ id: `AwsSolutions-${rule}`, reason });
}
