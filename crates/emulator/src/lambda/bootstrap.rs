//! How a bootstrap is started: its command line, its folder, and the variables that Lambda sets.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::address::LATEST;
use super::settings::Function;

/// Where the functions run: what is the same for all of them.
#[derive(Debug, Clone)]
pub(super) struct Host {
    pub(super) region: String,
    pub(super) access_key_id: String,
    pub(super) secret_access_key: String,
    /// Our own Invoke API, by which a function calls others.
    pub(super) lambda_endpoint: String,
    /// S3 on this machine, if there is one.
    pub(super) s3_endpoint: Option<String>,
    /// Where log files go, in a folder per function.
    pub(super) log_folder: PathBuf,
}

/// What Lambda gives as session token; signatures here do not depend on it, but programs may insist on having one.
const SESSION_TOKEN: &str = "fanfold-emulator";
const PATH: &str = "/usr/local/bin:/usr/bin:/bin:/opt/bin";
const LIBRARY_PATH: &str = "/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib";

/// The command that starts `function`'s bootstrap, with nothing of our own environment in its.
/// Nothing, when the function has no command.
pub(super) fn command(
    function: &Function,
    host: &Host,
    runtime_api: SocketAddr,
    log_stream: &str,
) -> Option<Command> {
    let (program, arguments) = function.command.split_first()?;
    let folder = task_root(function, Path::new(program));
    let mut command = Command::new(program);
    command.args(arguments).env_clear();
    if !folder.as_os_str().is_empty() {
        command.current_dir(&folder);
    }
    command.envs(variables(function, host, runtime_api, log_stream));
    command.env("LAMBDA_TASK_ROOT", &folder);
    command.envs(function.environment.iter().map(|(name, value)| (name, value)));
    Some(command)
}

fn task_root(function: &Function, program: &Path) -> PathBuf {
    function.directory.clone().or_else(|| program.parent().map(Path::to_owned)).unwrap_or_default()
}

fn variables(
    function: &Function,
    host: &Host,
    runtime_api: SocketAddr,
    log_stream: &str,
) -> Vec<(&'static str, OsString)> {
    let mut variables: Vec<(&'static str, OsString)> = vec![
        ("_HANDLER", "bootstrap".into()),
        ("AWS_REGION", (&host.region).into()),
        ("AWS_DEFAULT_REGION", (&host.region).into()),
        ("AWS_EXECUTION_ENV", "AWS_Lambda_provided.al2023".into()),
        ("AWS_LAMBDA_FUNCTION_NAME", (&function.name).into()),
        ("AWS_LAMBDA_FUNCTION_VERSION", LATEST.into()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", function.memory_mb.to_string().into()),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".into()),
        ("AWS_LAMBDA_LOG_GROUP_NAME", function.log_group_name().into()),
        ("AWS_LAMBDA_LOG_STREAM_NAME", log_stream.into()),
        ("AWS_ACCESS_KEY_ID", (&host.access_key_id).into()),
        ("AWS_SECRET_ACCESS_KEY", (&host.secret_access_key).into()),
        ("AWS_SESSION_TOKEN", SESSION_TOKEN.into()),
        ("AWS_LAMBDA_RUNTIME_API", runtime_api.to_string().into()),
        ("LAMBDA_RUNTIME_DIR", "/var/runtime".into()),
        ("TZ", ":UTC".into()),
        ("LANG", "en_US.UTF-8".into()),
        ("PATH", PATH.into()),
        ("LD_LIBRARY_PATH", LIBRARY_PATH.into()),
        ("AWS_ENDPOINT_URL_LAMBDA", (&host.lambda_endpoint).into()),
    ];
    if function.logs_json {
        variables.push(("AWS_LAMBDA_LOG_FORMAT", "JSON".into()));
    }
    if let Some(level) = &function.log_level {
        variables.push(("AWS_LAMBDA_LOG_LEVEL", level.into()));
    }
    if let Some(endpoint) = &host.s3_endpoint {
        variables.push(("AWS_ENDPOINT_URL_S3", endpoint.into()));
    }
    variables
}
