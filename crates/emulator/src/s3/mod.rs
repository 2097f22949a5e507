//! Amazon S3 for this machine: a server with its data in a folder.
//!
//! **The decision.** The protocol (routing, XML, headers, signatures) is the `s3s` crate's; the store underneath is ours,
//! since no store at hand keeps what a pipeline of objects relies on. It is strict where S3 is: a conditional write has
//! exactly one winner, checksums and ETags are verified, an upload completes to what was declared or not at all. **The
//! price:** the index of all keys is in memory, about 1 kB an object, and is read from the journals at the start; one
//! process owns the folder; nothing is flushed against a power cut (a kill, at any moment, is covered).
//!
//! Bodies are immutable files that objects point into. So completing an upload and copying whole objects or parts
//! move no bytes, and a reader keeps what it began to read whatever is overwritten meanwhile.
//!
//! | module | owes its neighbours |
//! |---|---|
//! | `service` | the operations, a thin translation |
//! | `store`, `bucket`, `index` | what there is; the atomic check and commit |
//! | `journal`, `record` | what is on disk |
//! | `notice` | what others are told: objects that have come to be |
//! | `blob`, `body` | bodies: files, streams, bounded memory |
//! | `files` | whole files in and out, without HTTP |
//! | `checksum`, `etag`, `condition`, `page` | pure rules |
//! | `connection`, `expect` | sockets |
//! | `faults`, `fate` | bad days, when asked for |
//!
//! # What differs from S3
//! - No versions, ACLs, policies, encryption, object lock or storage classes: headers that ask for them are accepted and
//!   have no effect; operations about them answer `NotImplemented`.
//! - Lifecycle rules are kept and given back, and never carried out.
//! - Whom a bucket tells of new objects is the emulator's setting, not a request's; it is told before the client has its
//!   answer, and once. Nobody is told of anything else, such as deletions.
//! - Completing an upload a second time answers `NoSuchUpload`; S3 repeats its success for a while.
//! - A signature's region is not compared with the server's.
//! - A part of a copy may be taken from a source of any size; there is no 5 GiB limit on a part or a put.
//! - s3s logs each refusal, even an expected 404 or 412, at level `error` under its own target `s3s`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use tokio::net::TcpListener;
use tokio::sync::RwLock;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

mod blob;
mod body;
mod bucket;
mod checksum;
mod condition;
mod connection;
mod error;
mod etag;
mod expect;
mod fate;
mod faults;
mod files;
mod index;
mod journal;
mod notice;
mod page;
mod record;
mod service;
mod store;

pub use etag::ETags;
pub use faults::{FaultCounts, Faults, FaultsHandle, Rates};
pub use files::{ExportError, Exported, ImportError, Imported};
pub use notice::{CreatedBy, ObjectCreated};

/// What a server is started with.
#[derive(Debug, Clone)]
pub struct Config {
    /// The folder that holds everything; made where it is missing. One server at a time.
    pub data: PathBuf,
    /// Where to listen; port 0 picks a free one.
    pub address: SocketAddr,
    /// The one access key that is known.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: String,
    /// The region that buckets are in.
    pub region: String,
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The folder is in use, not accessible, or damaged in a way that a killed server does not leave behind.
    #[error("failed to open the data folder {}", data.display())]
    Data {
        /// The folder.
        data: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Nothing can listen there.
    #[error("failed to listen on {address}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
}

/// Why a bucket is not made.
#[derive(Debug, thiserror::Error)]
#[error("make bucket `{bucket}`")]
pub struct BucketError {
    /// The bucket asked for.
    pub bucket: String,
    /// What is wrong with its name, or with the data folder.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// A running server. Dropping it cuts its connections; [`Server::stop`] lets them finish.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    store: Arc<store::Store>,
    notices: Arc<notice::Notices>,
    faults: FaultsHandle,
    /// Held for reading by each import and export, to the end of its last step, which may outlive its caller.
    transfers: Arc<RwLock<()>>,
    serving: JoinHandle<()>,
    stop: CancellationToken,
    _stop_on_drop: DropGuard,
}

impl Server {
    /// Opens the data folder, with all that it holds, and begins to serve, with MD5s for ETags.
    ///
    /// # Errors
    /// [`StartError`].
    ///
    /// # Cancellation
    /// Nothing is served; the folder stays locked until it is read to its end.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        Self::start_with(config, ETags::Md5).await
    }

    /// As [`Server::start`], with the ETags of new bodies made of something else than their MD5. What the folder holds
    /// already keeps its ETags.
    ///
    /// # Errors
    /// [`StartError`].
    ///
    /// # Cancellation
    /// As that of [`Server::start`].
    pub async fn start_with(config: Config, etags: ETags) -> Result<Self, StartError> {
        let Config { data, address, access_key_id, secret_access_key, region } = config;
        let folder = data.clone();
        let opened = tokio::task::spawn_blocking(move || store::Store::open(&folder)).await;
        let store = match opened {
            Ok(Ok(store)) => Arc::new(store),
            Ok(Err(error)) => return Err(StartError::Data { data, source: error.into() }),
            Err(panic) => return Err(StartError::Data { data, source: panic.into() }),
        };
        let listen = |source| StartError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let bound = listener.local_addr().map_err(listen)?;
        let endpoint = format!("http://{bound}");
        let notices = Arc::<notice::Notices>::default();
        let mut builder = S3ServiceBuilder::new(service::Service {
            store: Arc::clone(&store),
            etags,
            notices: Arc::clone(&notices),
            region,
            endpoint,
        });
        let faults = FaultsHandle::default();
        let known = SimpleAuth::from_single(access_key_id, secret_access_key);
        builder.set_auth(faults::Keys { known, faults: faults.clone() });
        builder.set_access(faults.clone());
        let stop = CancellationToken::new();
        let serving = tokio::spawn(connection::serve(listener, builder.build(), stop.clone()));
        let transfers = Arc::default();
        Ok(Self {
            address: bound,
            store,
            notices,
            faults,
            transfers,
            serving,
            _stop_on_drop: stop.clone().drop_guard(),
            stop,
        })
    }

    /// Where the server listens, as SDKs want it: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The switch of its faults, which are off.
    #[must_use]
    pub fn faults(&self) -> &FaultsHandle {
        &self.faults
    }

    /// Tells `listener` of every object that comes to be from now on, before whoever made it has an answer. It must not
    /// take long. Only the first listener is taken.
    pub(crate) fn on_object_created(&self, listener: impl Fn(&ObjectCreated) + Send + Sync + 'static) {
        if !self.notices.listen(Box::new(listener)) {
            tracing::error!("somebody listens to S3's events already");
        }
    }

    /// Makes a bucket, as its owner would have before anything else, unless it is there already.
    ///
    /// # Errors
    /// [`BucketError`]: S3 allows no such name, or the data folder cannot be written.
    ///
    /// # Cancellation
    /// The bucket may be made all the same.
    pub async fn ensure_bucket(&self, bucket: &str) -> Result<(), BucketError> {
        let refused = |source: error::Error| BucketError { bucket: bucket.to_owned(), source: source.into() };
        if !s3s::path::check_bucket_name(bucket) {
            let rule = "a bucket's name has 3 to 63 lower-case letters, digits, '.' and '-'";
            return Err(refused(error::Error::Argument(rule.to_owned())));
        }
        let (store, name) = (Arc::clone(&self.store), bucket.to_owned());
        match body::blocking(move || store.create_bucket(&name)).await {
            Ok(()) | Err(error::Error::BucketExists(_)) => Ok(()),
            Err(error) => Err(refused(error)),
        }
    }

    /// Takes no more requests, lets those under way finish (for ten seconds at most), as well as the steps of imports and
    /// exports that were given up, and gives the folder back.
    ///
    /// # Cancellation
    /// The server stops all the same, cutting its connections.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Err(error) = (&mut self.serving).await {
            tracing::error!(%error, "the server ended badly");
        }
        // An import that was given up deletes its file when its step ends, and only while the store is there.
        drop(self.transfers.write().await);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_bucket_is_made_once_and_no_name_leads_out_of_the_data_folder() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config {
            data: folder.path().join("data"),
            address: ([127, 0, 0, 1], 0).into(),
            access_key_id: "key".into(),
            secret_access_key: "secret".into(),
            region: "us-east-1".into(),
        };
        let server = Server::start(config.clone()).await.unwrap();
        server.ensure_bucket("bucket").await.unwrap();
        server.ensure_bucket("bucket").await.unwrap();
        for name in ["", "..", "../out", "a/b", "UPPER", "ab"] {
            let error = server.ensure_bucket(name).await.unwrap_err();
            assert_eq!(error.bucket, name);
        }
        server.stop().await;
        let names = std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(names, 1, "only the data folder is there");
        let buckets = std::fs::read_dir(config.data.join("buckets")).unwrap().count();
        assert_eq!(buckets, 1);
    }
}
