import { Duration, RemovalPolicy } from 'aws-cdk-lib';
import * as s3 from 'aws-cdk-lib/aws-s3';
import type { Construct } from 'constructs';
import { acknowledge } from './acknowledge';
import type { WorkPlace } from './permissions';
import type { DataPlace, FanfoldPipelineProps } from './props';

/** An upload is under way for a function's 15 minutes at most; S3 counts in days. */
const UNFINISHED_UPLOADS_KEPT = Duration.days(1);

/** The work bucket: artefacts, and a place for inputs and outputs that need no bucket of their own. */
export interface WorkBucket {
  readonly work: WorkPlace;
  readonly input: DataPlace;
  readonly output: DataPlace;
}

/** Takes the bucket that is given, or makes one. */
export function workBucket(scope: Construct, props: FanfoldPipelineProps): WorkBucket {
  const prefix = props.workPrefix ?? 'work/';
  if (!prefix.endsWith('/') || prefix.startsWith('/')) {
    throw new Error(`workPrefix '${prefix}' must end with '/' and not begin with it`);
  }
  const bucket = props.workBucket ?? makeBucket(scope, prefix, props);
  return {
    work: plainPlace({ bucket, prefix }),
    input: { bucket, prefix: 'inputs/' },
    output: { bucket, prefix: 'outputs/' },
  };
}

/** Refuses a prefix that a policy would read as a pattern. */
export function plainPlace<P extends DataPlace>(place: P): P {
  if (/[*?$]/.test(place.prefix ?? '')) {
    throw new Error(`the prefix '${place.prefix}' of a bucket must have no '*', '?' or '$': a policy would not take them as they stand`);
  }
  return place;
}

function makeBucket(scope: Construct, workPrefix: string, props: FanfoldPipelineProps): s3.Bucket {
  const encryption = props.encryptionKey
    ? { encryption: s3.BucketEncryption.KMS, encryptionKey: props.encryptionKey, bucketKeyEnabled: true }
    : { encryption: s3.BucketEncryption.S3_MANAGED };
  const bucket = new s3.Bucket(scope, 'WorkBucket', {
    ...encryption,
    enforceSSL: true,
    blockPublicAccess: s3.BlockPublicAccess.BLOCK_ALL,
    objectOwnership: s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
    removalPolicy: props.removalPolicy ?? RemovalPolicy.RETAIN,
    lifecycleRules: [
      { id: 'job-data', prefix: workPrefix, expiration: props.keepJobData ?? Duration.days(30) },
      { id: 'unfinished-uploads', abortIncompleteMultipartUploadAfter: UNFINISHED_UPLOADS_KEPT },
    ],
  });
  // CDK's own property for this brings a custom resource, a function with rights to every bucket.
  const resource = bucket.node.defaultChild as s3.CfnBucket;
  resource.notificationConfiguration = { eventBridgeConfiguration: { eventBridgeEnabled: true } };
  acknowledge(
    bucket,
    'S1',
    'access logs would need a second bucket and double the writes of a job; who needs them gives a bucket of their own, or logs data events by CloudTrail',
  );
  return bucket;
}
