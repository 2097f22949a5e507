import { App, Stack } from 'aws-cdk-lib';
import { Bucket } from 'aws-cdk-lib/aws-s3';
import { FanfoldPipeline } from '../../index';

const stack = new Stack(new App(), 'Nightly');
const orders = new Bucket(stack, 'Orders', { enforceSSL: true });

new FanfoldPipeline(stack, 'Masking', {
  taskBundle: `${__dirname}/tasks`,
  inputs: [{ bucket: orders, prefix: 'incoming/' }],
  outputs: [{ bucket: orders, prefix: 'masked/' }],
  jobs: [
    {
      version: 1,
      name: 'mask-orders',
      source: { objects: { uri: `s3://${orders.bucketName}/incoming/`, split: 'lines' } },
      task: { command: ['sh', 'mask.sh', 'card='] },
      output: { uri: `s3://${orders.bucketName}/masked/{scheduled_date}.txt` },
      schedule: { cron: '30 2 * * ? *', time_zone: 'Europe/Berlin' },
    },
  ],
});
