//! The operations of S3, one file a group: each takes what s3s has read from the request, asks the store, and fills in
//! the answer. s3s owns the protocol: routing, XML, headers, signatures.

use std::sync::Arc;

use s3s::dto::*;
use s3s::{S3, S3Request, S3Response, S3Result};

use super::etag::ETags;
use super::notice::Notices;
use super::store::Store;

mod answer;
mod buckets;
mod complete;
mod copy;
mod declared;
mod list;
mod objects;
mod tagging;
mod uploads;

/// A store, spoken to in S3's operations.
pub(super) struct Service {
    pub(super) store: Arc<Store>,
    /// What the ETags of new bodies are made of.
    pub(super) etags: ETags,
    /// Who is told of new objects.
    pub(super) notices: Arc<Notices>,
    pub(super) region: String,
    pub(super) endpoint: String,
}

/// Operations, each a line: its name, its input and output, and the function that carries it out. Those that look into
/// the index alone answer at once, those that touch files are awaited.
macro_rules! operations {
    ($($name:ident($input:ident) -> $output:ident = |$service:ident, $request:ident| $body:expr;)*) => {
        /// The inputs' names, which are those of the operations and the word `Input`.
        pub(super) const OPERATIONS: &[&str] = &[$(stringify!($input),)* "HeadObjectInput"];

        #[async_trait::async_trait]
        impl S3 for Service {
            $(
                async fn $name(&self, $request: S3Request<$input>) -> S3Result<S3Response<$output>> {
                    let $service = self;
                    Ok(S3Response::new($body?))
                }
            )*

            // Apart, since its status depends on what is asked for.
            async fn head_object(&self, request: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
                Ok(objects::head(self, request.input)?)
            }
        }
    };
}

operations! {
    create_bucket(CreateBucketInput) -> CreateBucketOutput = |s, r| buckets::create(s, r.input).await;
    delete_bucket(DeleteBucketInput) -> DeleteBucketOutput = |s, r| buckets::delete(s, r.input).await;
    head_bucket(HeadBucketInput) -> HeadBucketOutput = |s, r| buckets::head(s, &r.input);
    list_buckets(ListBucketsInput) -> ListBucketsOutput = |s, r| Ok::<_, s3s::S3Error>(buckets::list(s, &r.input));
    get_bucket_location(GetBucketLocationInput) -> GetBucketLocationOutput = |s, r| buckets::location(s, &r.input);
    get_bucket_lifecycle_configuration(GetBucketLifecycleConfigurationInput)
        -> GetBucketLifecycleConfigurationOutput = |s, r| buckets::lifecycle(s, &r.input);
    put_bucket_lifecycle_configuration(PutBucketLifecycleConfigurationInput)
        -> PutBucketLifecycleConfigurationOutput = |s, r| buckets::put_lifecycle(s, r.input).await;
    delete_bucket_lifecycle(DeleteBucketLifecycleInput)
        -> DeleteBucketLifecycleOutput = |s, r| buckets::delete_lifecycle(s, r.input).await;

    put_object(PutObjectInput) -> PutObjectOutput = |s, r| objects::put(s, r).await;
    get_object(GetObjectInput) -> GetObjectOutput = |s, r| objects::get(s, r.input);
    delete_object(DeleteObjectInput) -> DeleteObjectOutput = |s, r| objects::delete(s, r.input).await;
    delete_objects(DeleteObjectsInput) -> DeleteObjectsOutput = |s, r| objects::delete_many(s, r.input).await;
    copy_object(CopyObjectInput) -> CopyObjectOutput = |s, r| copy::object(s, r).await;
    get_object_attributes(GetObjectAttributesInput)
        -> GetObjectAttributesOutput = |s, r| list::attributes(s, &r.input);
    get_object_tagging(GetObjectTaggingInput) -> GetObjectTaggingOutput = |s, r| tagging::get(s, &r.input);
    put_object_tagging(PutObjectTaggingInput) -> PutObjectTaggingOutput = |s, r| tagging::put(s, r.input).await;
    delete_object_tagging(DeleteObjectTaggingInput)
        -> DeleteObjectTaggingOutput = |s, r| tagging::delete(s, r.input).await;
    list_objects(ListObjectsInput) -> ListObjectsOutput = |s, r| list::objects(s, r.input);
    list_objects_v2(ListObjectsV2Input) -> ListObjectsV2Output = |s, r| list::objects_v2(s, r.input);

    create_multipart_upload(CreateMultipartUploadInput)
        -> CreateMultipartUploadOutput = |s, r| uploads::create(s, r.input).await;
    upload_part(UploadPartInput) -> UploadPartOutput = |s, r| uploads::upload_part(s, r).await;
    upload_part_copy(UploadPartCopyInput) -> UploadPartCopyOutput = |s, r| copy::part(s, r.input).await;
    complete_multipart_upload(CompleteMultipartUploadInput)
        -> CompleteMultipartUploadOutput = |s, r| complete::complete(s, r.input).await;
    abort_multipart_upload(AbortMultipartUploadInput)
        -> AbortMultipartUploadOutput = |s, r| uploads::abort(s, r.input).await;
    list_parts(ListPartsInput) -> ListPartsOutput = |s, r| uploads::list_parts(s, r.input);
    list_multipart_uploads(ListMultipartUploadsInput)
        -> ListMultipartUploadsOutput = |s, r| uploads::list_uploads(s, r.input);
}
