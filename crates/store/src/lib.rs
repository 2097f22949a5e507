//! The port to objects: a small trait, its adapters, wrappers, and one conformance suite.
//!
//! Everything that Fanfold knows of S3 at run time goes through [`Store`]. It is cut to what Fanfold does, not to what
//! S3 can do: conditional writes, lists in byte order, multipart uploads whose parts may be copied by the service, and
//! CRC64NVME everywhere. The price is a second vocabulary beside the SDK's; what it buys is that the same scenario runs
//! in memory, with faults, on the emulator and in the cloud, and that only this crate is rebuilt when the SDK changes.
//!
//! - [`Store`]: the operations; [`StoreExt`]: what is made of them, for any store.
//! - [`ObjectWriter`] and [`ObjectReader`]: objects of any size at bounded memory.
//! - [`concat::Assembly`]: objects that are put together from others, by the store itself where it can.
//! - [`s3::S3Store`] and [`memory::MemoryStore`]: the adapters.
//! - [`faults::Faulty`] and [`counting::Counting`]: wrappers around any store.
//! - [`conformance`]: what every adapter and every wrapper is held to.

#![forbid(unsafe_code)]

mod error;
mod ext;
mod object;
mod read;
mod store;
mod surely;
mod upload;
mod write;

pub mod concat;
pub mod conformance;
pub mod counting;
pub mod faults;
pub mod memory;
pub mod s3;

pub use error::{Cause, ErrorKind, Operation, StoreError};
pub use ext::{Created, DOCUMENT_BYTES_MAX, StoreExt};
pub use object::{Body, Condition, ETag, GetOptions, Got, Listed, ObjectInfo, Page, PutOptions};
pub use read::{ObjectReader, ReadOptions};
pub use store::Store;
pub use upload::{CompleteOptions, Part, Upload};
pub use write::{ObjectWriter, WhenEmpty, WriteOptions, Written};
