import { App } from 'aws-cdk-lib';
import { FanfoldStack } from './fanfold-stack';

new FanfoldStack(new App(), 'Fanfold');
