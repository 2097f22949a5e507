//! A deployed stack as the command line sees it: which pipelines it has, and what their functions log.
//!
//! Jobs are submitted and watched through the dispatcher alone, by Invoke, so whoever may run jobs needs no right but
//! `lambda:InvokeFunction`. What is left are two questions to AWS, and they are asked here and nowhere else: which
//! function is the dispatcher (CloudFormation `DescribeStacks`), and what was logged (CloudWatch Logs
//! `FilterLogEvents`). The price is two more SDKs, of services with hundreds of operations, for one operation each: 50 s of
//! CPU time of the program's first build, unoptimised. The functions themselves are built without this crate.
//!
//! - [`Cloud`]: the account and region that are asked.
//! - [`Pipeline`]: what a stack's outputs say of one; [`choose`] picks one.
//! - [`LogLines`]: the lines of several log groups as one, in the order of time.
#![forbid(unsafe_code)]

mod cloud;
mod error;
mod lines;
mod outputs;

pub use cloud::{Cloud, CloudSettings};
pub use error::StackError;
pub use lines::{LogLine, LogLines, LogQuery};
pub use outputs::{LogGroups, Pipeline, choose};
