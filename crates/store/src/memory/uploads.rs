//! Unfinished uploads in memory, and S3's rules for completing them.

use std::collections::BTreeMap;

use fanfold_flow::limits::UPLOAD_PARTS;
use fanfold_flow::uri::ObjectUri;

use super::Bucket;
use super::object::Object;
use crate::error::{ErrorKind, Operation, StoreError};
use crate::upload::{CompleteOptions, Part, Upload};

#[derive(Debug)]
pub(super) struct Pending {
    pub(super) at: ObjectUri,
    /// The step of the store in which it was begun.
    pub(super) begun: u64,
    parts: BTreeMap<u32, Object>,
}

impl Bucket {
    /// The upload, if it exists and is one to this very object.
    pub(super) fn pending(
        &mut self,
        upload: &Upload,
        operation: Operation,
    ) -> Result<&mut Pending, StoreError> {
        self.uploads.get_mut(&upload.id).filter(|pending| pending.at == upload.at).ok_or_else(|| {
            let message = format!("there is no upload {}", upload.id);
            StoreError::new(ErrorKind::NoSuchUpload, operation, &upload.at, message).with_code("NoSuchUpload")
        })
    }
}

impl Pending {
    pub(super) fn new(at: ObjectUri, begun: u64) -> Self {
        Self { at, begun, parts: BTreeMap::new() }
    }

    /// Keeps a part, in place of an earlier one of the same number.
    pub(super) fn keep(
        &mut self,
        number: u32,
        object: Object,
        operation: Operation,
    ) -> Result<Part, StoreError> {
        if !(1..=UPLOAD_PARTS).contains(&number) {
            let message = format!("part {number} cannot be; parts have numbers from 1 to {UPLOAD_PARTS}");
            return Err(StoreError::new(ErrorKind::Invalid, operation, &self.at, message)
                .with_code("InvalidArgument"));
        }
        let part = describe(number, &object);
        self.parts.insert(number, object);
        Ok(part)
    }

    pub(super) fn list(&self) -> Vec<Part> {
        self.parts.iter().map(|(number, object)| describe(*number, object)).collect()
    }

    /// The object that these parts make, by all of S3's rules; the upload stays as it is.
    pub(super) fn assemble(
        &self,
        named: &[Part],
        options: &CompleteOptions,
        part_bytes_min: u64,
    ) -> Result<Object, StoreError> {
        if named.is_empty() {
            return Err(self.refuse(ErrorKind::Invalid, "MalformedXML", "no part is named".to_owned()));
        }
        if let Some(pair) = named.windows(2).find(|pair| pair[0].number >= pair[1].number) {
            let message = format!("part {} is named after part {}", pair[1].number, pair[0].number);
            return Err(self.refuse(ErrorKind::Invalid, "InvalidPartOrder", message));
        }
        let parts = named.iter().map(|part| self.find(part)).collect::<Result<Vec<_>, _>>()?;
        let but_last = &parts[..parts.len() - 1];
        if let Some(small) = but_last.iter().position(|part| part.info.size < part_bytes_min) {
            let message = format!(
                "part {} has {} bytes; all but the last need {part_bytes_min}",
                named[small].number, but_last[small].info.size
            );
            return Err(self.refuse(ErrorKind::TooSmall, "EntityTooSmall", message));
        }
        self.check_whole(Object::joined(&parts), options)
    }

    fn find(&self, named: &Part) -> Result<&Object, StoreError> {
        let found = self.parts.get(&named.number).filter(|part| part.info.etag == named.etag);
        found.ok_or_else(|| {
            let message = format!("part {} with etag {} is not there", named.number, named.etag);
            self.refuse(ErrorKind::Invalid, "InvalidPart", message)
        })
    }

    fn check_whole(&self, whole: Object, options: &CompleteOptions) -> Result<Object, StoreError> {
        if let Some(bytes) = options.bytes.filter(|bytes| *bytes != whole.info.size) {
            let message = format!("the parts have {} bytes, not {bytes}", whole.info.size);
            return Err(self.refuse(ErrorKind::Invalid, "InvalidRequest", message));
        }
        if let Some(crc) = options.crc.filter(|crc| *crc != whole.crc()) {
            let message = format!("the crc64nvme of the parts is {}, not {crc}", whole.crc());
            return Err(self.refuse(ErrorKind::BadDigest, "BadDigest", message));
        }
        Ok(whole)
    }

    fn refuse(&self, kind: ErrorKind, code: &str, message: String) -> StoreError {
        StoreError::new(kind, Operation::CompleteUpload, &self.at, message).with_code(code)
    }
}

fn describe(number: u32, object: &Object) -> Part {
    Part { number, etag: object.info.etag.clone(), size: object.info.size, crc: Some(object.crc()) }
}
