export { FanfoldPipeline } from './lib/pipeline';
export type { DataPlace, FanfoldPipelineProps, FunctionSettings, InlineJob, WorkerProgram } from './lib/props';
export type { Alarms } from './lib/observability';
export { InvalidJobs } from './lib/jobs/document';
