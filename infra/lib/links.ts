import { Aws, CfnMapping, Stack } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import { ROLES, type PipelineNames } from './names';
import type { WorkPlace } from './permissions';

/** Where the console is, by partition. */
const CONSOLE_HOSTS = {
  aws: 'console.aws.amazon.com',
  'aws-cn': 'console.amazonaws.cn',
  'aws-us-gov': 'console.amazonaws-us-gov.com',
};

/** Pages of the console. `{job_id}` in one stands for a job; the dispatcher fills it in. */
export interface Links {
  /** What a job has left in the work bucket. */
  readonly bucket: string;
  /** The log lines of a job, of all three functions, by Logs Insights. */
  readonly logs: string;
  /** The pipeline's dashboard. */
  readonly dashboard: string;
}

/** The links of a pipeline, right in whatever partition and region its stack is deployed. */
export function consoleLinks(scope: Construct, names: PipelineNames, work: WorkPlace): Links {
  const hosts = new CfnMapping(scope, 'ConsoleHosts', {
    mapping: Object.fromEntries(Object.entries(CONSOLE_HOSTS).map(([partition, Host]) => [partition, { Host }])),
  });
  const console = `https://${hosts.findInMap(Aws.PARTITION, 'Host')}`;
  const region = Stack.of(scope).region;
  const cloudWatch = `${console}/cloudwatch/home?region=${region}`;
  return {
    bucket: `${console}/s3/buckets/${work.bucket.bucketName}?region=${region}&prefix=${work.prefix}jobs/{job_id}/`,
    logs: `${cloudWatch}#logsV2:logs-insights$3FqueryDetail$3D${insightsQuery(names)}`,
    dashboard: `${cloudWatch}#dashboards/dashboard/${names.pipeline}`,
  };
}

/** A query over the last three days, in the notation of the console's own links: `~(key~value…)`, texts with `'`. */
function insightsQuery(names: PipelineNames): string {
  const query = [
    'fields @timestamp, level, message, index, attempt, stderr, @log',
    '| filter @message like "{job_id}"',
    '| sort @timestamp asc',
    '| limit 1000',
  ].join('\n');
  const groups = ROLES.map((role) => `~'${escaped(names.logGroup(role))}`).join('');
  return `~(end~0~start~-259200~timeType~'RELATIVE~unit~'seconds~editorString~'${escaped(query)}~source~(${groups}))`;
}

/** What is no letter, digit, `-`, `_` or `.` is `*` and its code in two hexadecimal digits. The job id's place stays. */
function escaped(text: string): string {
  const code = (character: string) => `*${character.charCodeAt(0).toString(16).padStart(2, '0')}`;
  return text
    .split('{job_id}')
    .map((part) => part.replace(/[^a-zA-Z0-9._-]/g, code))
    .join('{job_id}');
}
