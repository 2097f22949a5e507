import { Duration, RemovalPolicy } from 'aws-cdk-lib';
import { Key } from 'aws-cdk-lib/aws-kms';
import { Bucket } from 'aws-cdk-lib/aws-s3';
import { describe, expect, it } from 'vitest';
import { deploy, environment, only, plain } from './deployments';

const BUCKET = 'AWS::S3::Bucket';

describe('the work bucket that is made', () => {
  const { template } = deploy();
  const bucket = only(template, BUCKET, 'WorkBucket');

  it('is encrypted, and not public', () => {
    expect(bucket.BucketEncryption.ServerSideEncryptionConfiguration).toEqual([{ ServerSideEncryptionByDefault: { SSEAlgorithm: 'AES256' } }]);
    expect(bucket.PublicAccessBlockConfiguration).toEqual({
      BlockPublicAcls: true,
      BlockPublicPolicy: true,
      IgnorePublicAcls: true,
      RestrictPublicBuckets: true,
    });
    expect(bucket.OwnershipControls.Rules).toEqual([{ ObjectOwnership: 'BucketOwnerEnforced' }]);
  });

  it('refuses requests without TLS', () => {
    expect(only(template, 'AWS::S3::BucketPolicy', 'WorkBucket').PolicyDocument.Statement).toEqual([
      expect.objectContaining({ Effect: 'Deny', Action: 's3:*', Principal: { AWS: '*' }, Condition: { Bool: { 'aws:SecureTransport': 'false' } } }),
    ]);
  });

  it('forgets job data after 30 days and unfinished uploads after one, and keeps outputs', () => {
    expect(bucket.LifecycleConfiguration.Rules).toEqual([
      { Id: 'job-data', Prefix: 'work/', ExpirationInDays: 30, Status: 'Enabled' },
      { Id: 'unfinished-uploads', AbortIncompleteMultipartUpload: { DaysAfterInitiation: 1 }, Status: 'Enabled' },
    ]);
  });

  it('tells EventBridge of new objects, without a custom resource', () => {
    expect(bucket.NotificationConfiguration).toEqual({ EventBridgeConfiguration: { EventBridgeEnabled: true } });
    const types = Object.values(template.toJSON().Resources).map((resource: any) => resource.Type);
    expect(types.filter((type) => type.startsWith('Custom::'))).toEqual([]);
    expect(types.filter((type) => type === 'AWS::Lambda::Function')).toHaveLength(3);
  });

  it('outlives its stack', () => {
    const [resource] = Object.values(template.findResources(BUCKET));
    expect(resource).toMatchObject({ DeletionPolicy: 'Retain', UpdateReplacePolicy: 'Retain' });
  });

  it('may be encrypted with a key, be emptied sooner, and go with its stack', () => {
    const { template } = deploy((stack) => ({
      encryptionKey: new Key(stack, 'Key'),
      keepJobData: Duration.days(3),
      removalPolicy: RemovalPolicy.DESTROY,
    }));
    const encrypted = only(template, BUCKET, 'WorkBucket');
    expect(encrypted.BucketEncryption.ServerSideEncryptionConfiguration[0]).toMatchObject({
      BucketKeyEnabled: true,
      ServerSideEncryptionByDefault: { SSEAlgorithm: 'aws:kms' },
    });
    expect(encrypted.LifecycleConfiguration.Rules[0].ExpirationInDays).toBe(3);
    for (const role of ['Dispatcher', 'Worker', 'Reducer']) {
      const statements: any[] = only(template, 'AWS::IAM::Policy', `${role}Role`).PolicyDocument.Statement;
      const ofKey = statements.filter(({ Resource }) => JSON.stringify(Resource).includes('"Key'));
      expect(ofKey.flatMap(({ Action }) => Action)).toEqual(['kms:Decrypt', 'kms:GenerateDataKey']);
    }
  });
});

describe('a work bucket of the app', () => {
  it('is used as it is, and nothing is made', () => {
    const { template } = deploy((stack) => ({ workBucket: Bucket.fromBucketName(stack, 'Mine', 'my-bucket'), workPrefix: 'fanfold/' }));
    template.resourceCountIs(BUCKET, 0);
    expect(environment(template, 'Worker')['FANFOLD_WORK_URI']).toBe('s3://my-bucket/fanfold/');
    const policy = JSON.stringify(only(template, 'AWS::IAM::Policy', 'WorkerRole'));
    expect(policy).toContain(':s3:::my-bucket/fanfold/jobs/*');
    expect(policy).not.toContain('work/');
  });

  it.each(['work', '/work/', ''])("has its artefacts under a prefix, and '%s' is none", (workPrefix) => {
    expect(() => deploy(() => ({ workPrefix }))).toThrow('workPrefix');
  });
});

describe('other buckets', () => {
  it('are read and written below their prefixes alone', () => {
    const { template } = deploy((stack) => ({
      inputs: [{ bucket: Bucket.fromBucketName(stack, 'In', 'incoming'), prefix: 'orders/' }],
      outputs: [{ bucket: Bucket.fromBucketName(stack, 'Out', 'outgoing') }],
    }));
    const resources = (role: string) =>
      only(template, 'AWS::IAM::Policy', `${role}Role`).PolicyDocument.Statement.flatMap(({ Action, Resource }: any) =>
        [Resource].flat().map((resource) => `${[Action].flat().join(' ')} ${plain(resource)}`),
      );
    expect(resources('Worker')).toContainEqual(expect.stringMatching(/^s3:GetObject .*:::incoming\/orders\/\*$/));
    expect(resources('Worker').join()).not.toContain(':::outgoing');
    expect(resources('Reducer').join()).not.toContain(':::incoming');
    const written = resources('Reducer').filter((line: string) => line.endsWith(':::outgoing/*'));
    expect(written.flatMap((line: string) => line.split(' ').slice(0, -1)).sort()).toEqual([
      's3:AbortMultipartUpload',
      's3:GetObject',
      's3:ListMultipartUploadParts',
      's3:PutObject',
    ]);
  });

  it('with a key of their own may be decrypted and encrypted', () => {
    const { template } = deploy((stack) => {
      const encrypted = (id: string) => new Bucket(stack, id, { encryptionKey: new Key(stack, `${id}Key`) });
      return { inputs: [{ bucket: encrypted('In') }], outputs: [{ bucket: encrypted('Out') }] };
    });
    const policy = (role: string) => JSON.stringify(only(template, 'AWS::IAM::Policy', `${role}Role`));
    expect(policy('Worker')).toMatch(/"kms:Decrypt","Effect":"Allow","Resource":\{"Fn::GetAtt":\["InKey/);
    expect(policy('Worker')).not.toContain('OutKey');
    expect(policy('Reducer')).toMatch(/"kms:Decrypt","kms:GenerateDataKey"\],"Effect":"Allow","Resource":\{"Fn::GetAtt":\["OutKey/);
  });

  it.each(['or*ders/', 'order?/', '${aws:username}/'])('have no prefix that a policy would read as a pattern: %s', (prefix) => {
    expect(() => deploy((stack) => ({ inputs: [{ bucket: Bucket.fromBucketName(stack, 'In', 'incoming'), prefix }] }))).toThrow('must have no');
  });
});
