import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/temporary-folder.ts'],
    // One process for all files: to load aws-cdk-lib takes longer than most tests.
    isolate: false,
    fileParallelism: false,
    testTimeout: 60_000,
  },
});
