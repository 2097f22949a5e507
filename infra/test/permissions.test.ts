import { Bucket } from 'aws-cdk-lib/aws-s3';
import type { Template } from 'aws-cdk-lib/assertions';
import { existsSync } from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import * as permissions from '../lib/permissions';
import { permit, type Permission } from '../lib/permit';
import { Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { deploy, newStack, only, plain, REPOSITORY } from './deployments';

/** All that a role may do, a line for each action and resource, in alphabetical order. */
function may(template: Template, role: string): string[] {
  const statements: any[] = only(template, 'AWS::IAM::Policy', `${role}Role`).PolicyDocument.Statement;
  const lines = statements.flatMap((statement) => {
    expect(statement.Effect).toBe('Allow');
    const when = statement.Condition ? ` when ${JSON.stringify(statement.Condition)}` : '';
    return [statement.Action].flat().flatMap((action) => [statement.Resource].flat().map((resource) => `${action} ${plain(resource)}${when}`));
  });
  return lines.sort();
}

const BUCKET = '<TestWorkBucket.Arn>';
const listing = (prefix: string) => `s3:ListBucket ${BUCKET} when {"StringLike":{"s3:prefix":"${prefix}*"}}`;
const functionArn = (role: string) => `arn:<AWS::Partition>:lambda:<AWS::Region>:<AWS::AccountId>:function:test-${role}`;

describe('the roles of a pipeline may do just what their code does', () => {
  const { template } = deploy();

  it('dispatcher', () => {
    expect(may(template, 'Dispatcher')).toEqual(
      [
        `lambda:InvokeFunction ${functionArn('dispatcher')}`,
        `lambda:InvokeFunction ${functionArn('reducer')}`,
        `lambda:InvokeFunction ${functionArn('worker')}`,
        'logs:CreateLogStream <TestDispatcherLogs.Arn>',
        'logs:PutLogEvents <TestDispatcherLogs.Arn>',
        `s3:AbortMultipartUpload ${BUCKET}/outputs/*`,
        `s3:AbortMultipartUpload ${BUCKET}/work/jobs/*/chunks/*`,
        `s3:AbortMultipartUpload ${BUCKET}/work/jobs/*/joblog.tsv`,
        `s3:AbortMultipartUpload ${BUCKET}/work/jobs/*/nodes/*`,
        `s3:DeleteObject ${BUCKET}/work/active/*`,
        `s3:DeleteObject ${BUCKET}/work/jobs/*/chunks/*`,
        `s3:DeleteObject ${BUCKET}/work/jobs/*/nodes/*`,
        `s3:GetObject ${BUCKET}/inputs/*`,
        `s3:GetObject ${BUCKET}/outputs/*`,
        `s3:GetObject ${BUCKET}/work/*`,
        `s3:ListBucketMultipartUploads ${BUCKET}`,
        listing('inputs/'),
        listing('outputs/'),
        listing('work/'),
        `s3:PutObject ${BUCKET}/work/*`,
        'sqs:SendMessage <TestDeadLetters.Arn>',
      ].sort(),
    );
  });

  it('worker', () => {
    expect(may(template, 'Worker')).toEqual(
      [
        `lambda:InvokeFunction ${functionArn('dispatcher')}`,
        `lambda:InvokeFunction ${functionArn('reducer')}`,
        `lambda:InvokeFunction ${functionArn('worker')}`,
        'logs:CreateLogStream <TestWorkerLogs.Arn>',
        'logs:PutLogEvents <TestWorkerLogs.Arn>',
        `s3:AbortMultipartUpload ${BUCKET}/work/jobs/*/chunks/*`,
        `s3:DeleteObject ${BUCKET}/work/jobs/*/chunks/*`,
        `s3:GetObject ${BUCKET}/inputs/*`,
        `s3:GetObject ${BUCKET}/work/jobs/*`,
        listing('inputs/'),
        listing('work/'),
        `s3:PutObject ${BUCKET}/work/jobs/*`,
      ].sort(),
    );
  });

  it('reducer', () => {
    expect(may(template, 'Reducer')).toEqual(
      [
        `lambda:InvokeFunction ${functionArn('dispatcher')}`,
        `lambda:InvokeFunction ${functionArn('reducer')}`,
        'logs:CreateLogStream <TestReducerLogs.Arn>',
        'logs:PutLogEvents <TestReducerLogs.Arn>',
        `s3:AbortMultipartUpload ${BUCKET}/outputs/*`,
        `s3:AbortMultipartUpload ${BUCKET}/work/jobs/*/chunks/*`,
        `s3:AbortMultipartUpload ${BUCKET}/work/jobs/*/joblog.tsv`,
        `s3:AbortMultipartUpload ${BUCKET}/work/jobs/*/nodes/*`,
        `s3:DeleteObject ${BUCKET}/work/active/*`,
        `s3:DeleteObject ${BUCKET}/work/jobs/*/chunks/*`,
        `s3:DeleteObject ${BUCKET}/work/jobs/*/nodes/*`,
        `s3:GetObject ${BUCKET}/outputs/*`,
        `s3:GetObject ${BUCKET}/work/jobs/*`,
        listing('work/'),
        `s3:ListBucketMultipartUploads ${BUCKET}`,
        `s3:ListMultipartUploadParts ${BUCKET}/outputs/*`,
        `s3:ListMultipartUploadParts ${BUCKET}/work/jobs/*/nodes/*`,
        `s3:PutObject ${BUCKET}/outputs/*`,
        `s3:PutObject ${BUCKET}/work/jobs/*`,
      ].sort(),
    );
  });

  it('EventBridge Scheduler', () => {
    expect(may(template, 'Scheduler')).toEqual(['lambda:InvokeFunction <TestDispatcher.Arn>', 'sqs:SendMessage <TestDeadLetters.Arn>']);
  });

  it('and nobody else has a role', () => {
    expect(Object.keys(template.findResources('AWS::IAM::Role'))).toHaveLength(4);
    const managed = Object.values(template.findResources('AWS::IAM::Role')).filter((role: any) => role.Properties.ManagedPolicyArns);
    expect(managed).toEqual([]);
  });
});

describe('a wildcard', () => {
  it('stands in no template without a written reason', () => {
    const { template, pipeline } = deploy(() => ({ tracing: true }));
    const policies = JSON.stringify(template.findResources('AWS::IAM::Policy'));
    // The service that needs `*` alone is named here, beside the reason that stands in lib/permissions.ts.
    expect(policies.match(/"Resource":"\*"/g)).toHaveLength(3);
    expect(policies).not.toMatch(/"[a-z0-9]+:\*"/);
    const acknowledged = JSON.stringify(pipeline.node.findAll().flatMap(({ node }) => node.metadata));
    for (const [, resource] of policies.matchAll(/"(\/[a-z/*]+\*)"/g)) {
      expect(acknowledged, resource).toContain(`${resource}]`);
    }
  });

  it('is refused where no reason is given', () => {
    const role = new Role(newStack(), 'Role', { assumedBy: new ServicePrincipal('lambda.amazonaws.com') });
    const permission = { neededBy: 'nobody', actions: ['s3:*'], resources: ['arn:aws:s3:::bucket'] };
    expect(() => permit(role, permission)).toThrow("'s3:*' (nobody) has a wildcard without a reason");
  });
});

describe('each permission names the code that needs it', () => {
  const bucket = new Bucket(newStack(), 'Bucket');
  const work = { bucket, prefix: 'work/' };
  const arns = { dispatcher: 'd', worker: 'w', reducer: 'r' };
  const all: Permission[] = [
    ...permissions.dispatcherPermissions(work, arns),
    ...permissions.workerPermissions(work, arns),
    ...permissions.reducerPermissions(work, arns),
    ...permissions.dispatcherOnInput(work),
    ...permissions.workerOnInput(work),
    ...permissions.dispatcherOnOutput(work),
    ...permissions.reducerOnOutput(work),
  ];

  it.each(all.map(({ actions, neededBy }) => [actions.join(', '), neededBy]))('%s: %s', (_actions, neededBy) => {
    expect(filesIn(neededBy)).not.toEqual([]);
    for (const file of filesIn(neededBy)) expect(existsSync(path.join(REPOSITORY, file)), file).toBe(true);
  });

  /** `crates/a/src/b.rs, c.rs` are two files of one folder. */
  function filesIn(neededBy: string): string[] {
    let folder = '';
    return [...neededBy.matchAll(/((?:[\w.-]+\/)*)(\w+\.rs)/g)].map(([, path, file]) => {
      folder = path || folder;
      return `${folder}${file}`;
    });
  }
});
