//! The machine that jobs run on: the emulator with the three functions deployed, a store, and a way to invoke.
//!
//! What it owes the rest: after [`Machine::stop`] no process is left, and no temporary folder.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fanfold_emulator::lambda::{self, LogLine};
use fanfold_emulator::s3::{self, ETags};
use fanfold_flow::code::Code;
use fanfold_flow::uri::ObjectUri;
use fanfold_invoke::Invoke;
use fanfold_invoke::aws::{LambdaInvoke, LambdaSettings};
use fanfold_runtime::Error;
use fanfold_store::s3::{S3Settings, S3Store};
use fanfold_store::{Store, StoreError, StoreExt};
use tempfile::TempDir;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::args::{MachineArgs, PlaceArgs, S3Choice};
use crate::functions::{self, Deployment};
use crate::sweep;

/// The bucket that an embedded S3 has from the start.
pub(crate) const BUCKET: &str = "fanfold";

/// The region of the embedded Lambda and S3.
const REGION: &str = "us-east-1";

/// What Lambda's waits of minutes before it repeats a dispatcher that failed are multiplied by: nobody waits that long here.
pub(crate) const RETRY_CLOCK: f64 = 0.05;

/// What the command line leaves to the command.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    /// Where S3 listens; 0 for any port.
    pub(crate) s3_port: u16,
    /// Where Lambda listens; 0 for any port.
    pub(crate) lambda_port: u16,
    /// What the embedded S3 makes ETags of.
    pub(crate) etags: ETags,
    /// Who reads what the functions log.
    pub(crate) log_lines: Option<mpsc::UnboundedSender<LogLine>>,
    /// The commands that jobs may name, by name.
    pub(crate) tasks: BTreeMap<String, Vec<String>>,
    /// Where programs run, if not in the current folder.
    pub(crate) task_directory: Option<PathBuf>,
}

/// A running machine.
pub(crate) struct Machine {
    /// Objects.
    pub(crate) store: Arc<dyn Store>,
    /// Functions.
    pub(crate) invoke: Arc<dyn Invoke>,
    /// Where artefacts are kept.
    pub(crate) work: ObjectUri,
    lambda: lambda::Server,
    s3: Option<s3::Server>,
    account: Account,
    folder: Folder,
}

/// Who signs requests, and where.
#[derive(Clone)]
pub(crate) struct Account {
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: String,
    pub(crate) region: String,
    /// Where S3 is another one than ours: its session token, empty for none.
    session_token: Option<String>,
}

/// Where objects and logs are.
pub(crate) enum Folder {
    /// A folder that stays.
    Kept(PathBuf),
    /// A folder that is removed at the end, and the lock by which others see that it is in use.
    Temporary(TempDir, File),
}

/// Where artefacts are kept in the place that `args` describe, whether it runs or not.
///
/// # Errors
/// `invalid_job` when `--work` is no prefix.
pub(crate) fn work_of(args: &PlaceArgs) -> Result<ObjectUri, Error> {
    match (args.s3, &args.work) {
        (S3Choice::Environment, Some(work)) if work.key.is_empty() || work.key.ends_with('/') => {
            Ok(work.clone())
        }
        (S3Choice::Environment, Some(work)) => Err(Error::new(
            Code::InvalidJob,
            format!("use --work {work}: it must end with '/', being a prefix"),
        )),
        (S3Choice::Embedded | S3Choice::Environment, None) => Ok(ObjectUri::new(BUCKET, "work/")),
        (S3Choice::Embedded, Some(_)) => {
            Err(Error::new(Code::InvalidJob, "use --work: it goes with --s3 environment"))
        }
    }
}

impl Machine {
    /// Starts everything. No function runs before it is invoked.
    ///
    /// # Errors
    /// When a port or the data folder is taken, or the AWS environment lacks what `--s3 environment` needs.
    pub(crate) async fn start(args: &MachineArgs, wishes: Wishes) -> Result<Self, Error> {
        let work = work_of(&args.place)?;
        let account = match args.place.s3 {
            S3Choice::Embedded => Account::embedded(),
            S3Choice::Environment => Account::of_environment(|name| std::env::var(name).ok())?,
        };
        let folder = Folder::open(args.place.data.as_deref())?;
        let s3 = match args.place.s3 {
            S3Choice::Embedded => {
                Some(start_s3(folder.path(), wishes.s3_port, wishes.etags, &account).await?)
            }
            S3Choice::Environment => None,
        };
        let foreign = S3Settings::from_environment().endpoint;
        let s3_endpoint = s3.as_ref().map_or(foreign, |s3| Some(s3.endpoint()));
        let store = match &s3 {
            Some(s3) => S3Store::new(account.s3_settings(s3)).await,
            None => S3Store::from_environment().await,
        };
        let deployment = Deployment {
            args,
            work: &work,
            variables: std::env::vars_os().collect(),
            directory: task_directory(wishes.task_directory)?,
            session_token: account.session_token.clone(),
            tasks: wishes.tasks,
        };
        let lambda = lambda::Server::start(lambda::Config {
            address: loopback(wishes.lambda_port),
            region: account.region.clone(),
            access_key_id: account.access_key_id.clone(),
            secret_access_key: account.secret_access_key.clone(),
            s3_endpoint,
            log_folder: folder.path().join("logs"),
            settings: lambda::Settings {
                functions: functions::deployed(&deployment)?,
                retry_clock: RETRY_CLOCK,
                log_lines: wishes.log_lines,
                ..lambda::Settings::default()
            },
        });
        let lambda = lambda
            .await
            .map_err(|error| Error::caused(Code::Internal, "start the embedded Lambda", error))?;
        let invoke = LambdaInvoke::new(LambdaSettings {
            endpoint: Some(lambda.endpoint().to_owned()),
            region: Some(account.region.clone()),
            credentials: Some((account.access_key_id.clone(), account.secret_access_key.clone())),
            profile: None,
        });
        let invoke = Arc::new(invoke.await);
        Ok(Self { store: Arc::new(store), invoke, work, lambda, s3, account, folder })
    }

    /// Makes a bucket of the embedded S3, unless it is there; another S3's buckets are its owner's affair.
    ///
    /// # Errors
    /// `store` when no bucket can have this name, or it cannot be made.
    pub(crate) async fn ensure_bucket(&self, bucket: &str) -> Result<(), Error> {
        match &self.s3 {
            Some(s3) => ensure_bucket(s3, bucket).await,
            None => Ok(()),
        }
    }

    /// Waits until nothing runs, and nothing waits to run.
    ///
    /// # Cancellation
    /// Only looks.
    pub(crate) async fn drained(&self) {
        self.lambda.drain().await;
    }

    /// The embedded S3, where the store is that one.
    pub(crate) fn embedded_s3(&self) -> Option<&s3::Server> {
        self.s3.as_ref()
    }

    /// The variables by which other programs reach this machine.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let Account { access_key_id, secret_access_key, region, .. } = &self.account;
        let mut variables = Vec::new();
        if let Some(s3) = &self.s3 {
            variables.push(("AWS_ENDPOINT_URL_S3", s3.endpoint()));
            variables.push(("AWS_ACCESS_KEY_ID", access_key_id.clone()));
            variables.push(("AWS_SECRET_ACCESS_KEY", secret_access_key.clone()));
            variables.push(("AWS_REGION", region.clone()));
            variables.push(("AWS_DEFAULT_REGION", region.clone()));
        }
        variables.extend([
            ("AWS_ENDPOINT_URL_LAMBDA", self.lambda.endpoint().to_owned()),
            ("FANFOLD_WORK_URI", self.work.to_string()),
            ("FANFOLD_DISPATCHER", functions::DISPATCHER.to_owned()),
            ("FANFOLD_WORKER", functions::WORKER.to_owned()),
            ("FANFOLD_REDUCER", functions::REDUCER.to_owned()),
        ]);
        variables
    }

    /// The folder that holds objects and logs.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Kills whatever runs and reaps it, removes what lies below the prefixes `rubbish`, gives the data folder back, and
    /// removes it where it was temporary.
    pub(crate) async fn stop(self, rubbish: &[ObjectUri]) {
        let Self { store, invoke, lambda, s3, folder, .. } = self;
        // First: what still runs could still write.
        lambda.stop().await;
        if s3.is_none() || matches!(folder, Folder::Kept(_)) {
            for prefix in rubbish {
                if let Err(error) = remove(&store, prefix).await {
                    tracing::warn!(%error, "failed to remove what lies below {prefix}");
                }
            }
        }
        // Their connections would keep the server waiting.
        drop((store, invoke));
        if let Some(s3) = s3 {
            s3.stop().await;
        }
        folder.close();
    }
}

/// Removes all objects and all unfinished uploads below a prefix.
async fn remove(store: &Arc<dyn Store>, prefix: &ObjectUri) -> Result<(), StoreError> {
    for upload in store.list_uploads(&prefix.bucket, &prefix.key).await? {
        store.abort_upload(&upload).await?;
    }
    store.delete_prefix(&prefix.bucket, &prefix.key).await?;
    Ok(())
}

/// The folder in which objects were kept; none where they are in the user's own S3.
///
/// # Errors
/// `invalid_job` when no folder is named, or it is not there: there is nothing to be found then, and none is to be made.
pub(crate) fn kept_data(args: &PlaceArgs) -> Result<Option<&Path>, Error> {
    let message = match (args.s3, &args.data) {
        (S3Choice::Environment, _) => return Ok(None),
        (S3Choice::Embedded, Some(data)) if data.is_dir() => return Ok(Some(data)),
        (S3Choice::Embedded, Some(data)) => {
            format!("find what was kept: there is no folder {}", data.display())
        }
        (S3Choice::Embedded, None) => "find what was kept: --data DIR says where".to_owned(),
    };
    Err(Error::new(Code::InvalidJob, message))
}

/// The store of the place that `args` describe, without functions; and the S3 embedded in this program, where it is that.
/// Nothing else may have the data folder meanwhile: stop the server before a machine is started.
///
/// # Errors
/// When the data folder is not there, taken or damaged.
pub(crate) async fn store_alone(
    args: &PlaceArgs,
    etags: ETags,
) -> Result<(Arc<dyn Store>, Option<s3::Server>), Error> {
    let Some(data) = kept_data(args)? else {
        return Ok((Arc::new(S3Store::from_environment().await), None));
    };
    let account = Account::embedded();
    let server = start_s3(data, 0, etags, &account).await?;
    let store = S3Store::new(account.s3_settings(&server)).await;
    Ok((Arc::new(store), Some(server)))
}

/// Starts an embedded S3 alone, on an existing data folder.
///
/// # Errors
/// When the folder is taken or damaged.
pub(crate) async fn start_s3(
    data: &Path,
    port: u16,
    etags: ETags,
    account: &Account,
) -> Result<s3::Server, Error> {
    let config = s3::Config {
        data: data.join("s3"),
        address: loopback(port),
        access_key_id: account.access_key_id.clone(),
        secret_access_key: account.secret_access_key.clone(),
        region: account.region.clone(),
    };
    let server = s3::Server::start_with(config, etags).await;
    let server = server.map_err(|error| Error::caused(Code::Store, "start the embedded S3", error))?;
    ensure_bucket(&server, BUCKET).await?;
    Ok(server)
}

async fn ensure_bucket(s3: &s3::Server, bucket: &str) -> Result<(), Error> {
    s3.ensure_bucket(bucket)
        .await
        .map_err(|error| Error::caused(Code::Store, "prepare the embedded S3", error))
}

impl Account {
    /// The account of an embedded Lambda and S3: nobody else knows its secret, since whoever does runs programs here.
    pub(crate) fn embedded() -> Self {
        let secret = || Uuid::new_v4().simple().to_string();
        Self {
            access_key_id: "FANFOLDLOCAL".into(),
            secret_access_key: secret() + &secret(),
            region: REGION.into(),
            session_token: None,
        }
    }

    /// The account of the user's own environment, which the functions then share.
    fn of_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let required = |name: &str| {
            variable(name).filter(|value| !value.is_empty()).ok_or_else(|| {
                let message = format!(
                    "use --s3 environment: {name} is not set; for a profile, run: eval \"$(aws configure export-credentials --format env)\""
                );
                Error::new(Code::InvalidJob, message)
            })
        };
        Ok(Self {
            access_key_id: required("AWS_ACCESS_KEY_ID")?,
            secret_access_key: required("AWS_SECRET_ACCESS_KEY")?,
            region: variable("AWS_REGION")
                .or_else(|| variable("AWS_DEFAULT_REGION"))
                .unwrap_or_else(|| REGION.into()),
            session_token: Some(variable("AWS_SESSION_TOKEN").unwrap_or_default()),
        })
    }

    /// How to reach the embedded S3 with it.
    pub(crate) fn s3_settings(&self, s3: &s3::Server) -> S3Settings {
        S3Settings {
            endpoint: Some(s3.endpoint()),
            region: Some(self.region.clone()),
            credentials: Some((self.access_key_id.clone(), self.secret_access_key.clone())),
            ..S3Settings::default()
        }
    }
}

impl Folder {
    /// Makes the folder, where it is not there. A temporary one also takes away those of programs that were killed.
    ///
    /// # Errors
    /// When the file system refuses.
    pub(crate) fn open(data: Option<&Path>) -> Result<Self, Error> {
        let failed = |path: &Path, error| {
            Error::caused(Code::Store, format!("make a folder in {}", path.display()), error)
        };
        match data {
            Some(path) => {
                std::fs::create_dir_all(path).map_err(|error| failed(path, error))?;
                let path = path.canonicalize().map_err(|error| failed(path, error))?;
                Ok(Self::Kept(path))
            }
            None => {
                let made = sweep::temporary_folder();
                let (folder, lock) = made.map_err(|error| failed(&std::env::temp_dir(), error))?;
                sweep::abandoned(&folder);
                Ok(Self::Temporary(folder, lock))
            }
        }
    }

    /// Removes the folder where it was temporary.
    pub(crate) fn close(self) {
        let Self::Temporary(folder, _lock) = self else { return };
        let path = folder.path().to_owned();
        if let Err(error) = folder.close() {
            tracing::warn!(%error, path = %path.display(), "failed to remove the temporary folder");
        }
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Temporary(folder, _) => folder.path(),
        }
    }
}

/// The folder that paths are relative to.
///
/// # Errors
/// When it is gone.
pub(crate) fn current_directory() -> Result<PathBuf, Error> {
    let directory = std::env::current_dir()
        .map_err(|error| Error::caused(Code::InputMissing, "find the current folder", error))?;
    if directory.to_str().is_some() {
        return Ok(directory);
    }
    // It goes to functions in JSON and in variables.
    let message = format!(
        "work in the current folder {directory:?}: its name is not UTF-8; run from another, or rename it"
    );
    Err(Error::new(Code::InvalidJob, message))
}

/// The folder in which programs run, whole, since a function does not know what it would be relative to.
///
/// # Errors
/// When there is no such folder.
pub(crate) fn task_directory(given: Option<PathBuf>) -> Result<PathBuf, Error> {
    let Some(given) = given else { return current_directory() };
    given.canonicalize().ok().filter(|path| path.is_dir()).ok_or_else(|| {
        Error::new(
            Code::InvalidJob,
            format!("use --task-directory {}: there is no such folder", given.display()),
        )
    })
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_without_keys_is_refused_with_what_to_do() {
        let refused = Account::of_environment(|_| None).err().unwrap();
        assert!(refused.to_string().contains("AWS_ACCESS_KEY_ID is not set"), "{refused}");
        let account = Account::of_environment(|name| (name != "AWS_SESSION_TOKEN").then(|| name.to_owned()));
        assert_eq!(account.ok().unwrap().session_token.as_deref(), Some(""));
    }
}
