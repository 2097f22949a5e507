import { App, Stack } from 'aws-cdk-lib';
import { FanfoldPipeline } from '../../index';

const stack = new Stack(new App(), 'Python');

new FanfoldPipeline(stack, 'Words', {
  // The worker's program and the task bundle are laid beside the Dockerfile before the image is built.
  workerImage: `${__dirname}/worker`,
  taskBundle: `${__dirname}/tasks`,
  tasks: { 'count-words': ['python3', 'count_words.py'] },
  jobs: [
    {
      version: 1,
      name: 'count-words',
      source: { objects: { uri: 's3://{deployment.bucket}/inputs/texts/', split: 'lines' } },
      task: { name: 'count-words' },
      output: { uri: 's3://{deployment.bucket}/outputs/words/{start_time}.json', format: 'json-array' },
    },
  ],
});
