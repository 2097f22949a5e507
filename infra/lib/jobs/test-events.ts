import { RemovalPolicy, Stack } from 'aws-cdk-lib';
import * as eventschemas from 'aws-cdk-lib/aws-eventschemas';
import type { Construct } from 'constructs';
import type { JobDocument, OnObjectCreated } from './document';
import { filled, type DeploymentValues } from './placeholders';

/** Where the console looks for the test events that an account shares. */
const REGISTRY = 'lambda-testevent-schemas';

/**
 * Test events for the dispatcher in the Lambda console: one for each job, `_help` for what else there is, and
 * `_status`. The console keeps them as the examples of a schema that is named after the function.
 */
export function makeTestEvents(
  scope: Construct,
  dispatcherName: string,
  jobs: readonly JobDocument[],
  values: DeploymentValues,
  createRegistry: boolean,
): void {
  const events: Record<string, unknown> = {
    _help: {},
    _status: { status: 'the id of a job' },
    ...Object.fromEntries(jobs.map((job) => [job.name, eventFor(job, values)])),
  };
  const content = {
    openapi: '3.0.0',
    info: { version: '1.0.0', title: 'Event' },
    paths: {},
    components: {
      schemas: { Event: { type: 'object' } },
      examples: Object.fromEntries(Object.entries(events).map(([name, value]) => [name, { value }])),
    },
  };
  const schema = new eventschemas.CfnSchema(scope, 'TestEvents', {
    registryName: REGISTRY,
    schemaName: `_${dispatcherName}-schema`,
    type: 'OpenApi3',
    description: "Test events of Fanfold's dispatcher",
    content: Stack.of(scope).toJsonString(content),
  });
  if (createRegistry) {
    const registry = new eventschemas.CfnRegistry(scope, 'TestEventRegistry', { registryName: REGISTRY });
    // Everybody's test events of the account are in it.
    registry.applyRemovalPolicy(RemovalPolicy.RETAIN);
    schema.addResourceDependency(registry);
  }
}

function eventFor({ name, on_object_created: trigger }: JobDocument, values: DeploymentValues): object {
  return trigger ? objectCreated(trigger, values) : { run: name };
}

/** What EventBridge sends for a new object. Whoever presses Test puts the key of an object that is there. */
function objectCreated({ bucket, prefix = '', suffix = '' }: OnObjectCreated, values: DeploymentValues): object {
  return {
    version: '0',
    id: '00000000-0000-0000-0000-000000000000',
    'detail-type': 'Object Created',
    source: 'aws.s3',
    time: '2026-01-01T00:00:00Z',
    detail: {
      version: '0',
      bucket: { name: filled(bucket, values) },
      object: { key: `${prefix}EXAMPLE${suffix}`, size: 1, etag: '', sequencer: '00' },
      reason: 'PutObject',
    },
  };
}
