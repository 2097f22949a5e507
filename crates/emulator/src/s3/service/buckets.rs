//! Operations on whole buckets.

use std::sync::Arc;

use s3s::dto::*;

use super::super::body::blocking;
use super::super::error::Error;
use super::super::record::Change;
use super::Service;
use super::answer::timestamp;

/// Where S3 answers to a bucket's second creation with success, and names no location.
const FIRST_REGION: &str = "us-east-1";

pub(super) async fn create(service: &Service, input: CreateBucketInput) -> Result<CreateBucketOutput, Error> {
    let configuration = input.create_bucket_configuration.as_ref();
    if let Some(asked) = configuration.and_then(|configuration| configuration.location_constraint.as_ref())
        && asked.as_str() != service.region
    {
        let text =
            format!("location `{}` is asked for; this store is in `{}`", asked.as_str(), service.region);
        return Err(Error::Request(text));
    }
    let location = format!("/{}", input.bucket);
    let store = Arc::clone(&service.store);
    match blocking(move || store.create_bucket(&input.bucket)).await {
        Err(Error::BucketExists(_)) if service.region == FIRST_REGION => {}
        result => result?,
    }
    Ok(CreateBucketOutput { location: Some(location) })
}

pub(super) async fn delete(service: &Service, input: DeleteBucketInput) -> Result<DeleteBucketOutput, Error> {
    let store = Arc::clone(&service.store);
    blocking(move || store.delete_bucket(&input.bucket)).await?;
    Ok(DeleteBucketOutput {})
}

pub(super) fn head(service: &Service, input: &HeadBucketInput) -> Result<HeadBucketOutput, Error> {
    service.store.bucket(&input.bucket)?;
    Ok(HeadBucketOutput { bucket_region: Some(service.region.clone()), ..HeadBucketOutput::default() })
}

pub(super) fn location(
    service: &Service,
    input: &GetBucketLocationInput,
) -> Result<GetBucketLocationOutput, Error> {
    service.store.bucket(&input.bucket)?;
    let named = (service.region != FIRST_REGION).then(|| service.region.clone());
    Ok(GetBucketLocationOutput { location_constraint: named.map(BucketLocationConstraint::from) })
}

pub(super) fn list(service: &Service, input: &ListBucketsInput) -> ListBucketsOutput {
    let prefix = input.prefix.as_deref().unwrap_or_default();
    let after = input.continuation_token.as_deref().unwrap_or_default();
    let limit = input.max_buckets.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(10_000).max(1);
    let mut buckets = service.store.buckets();
    buckets.retain(|bucket| bucket.name().starts_with(prefix) && bucket.name() > after);
    let more = buckets.len() > limit;
    buckets.truncate(limit);
    let token = buckets.last().filter(|_| more).map(|bucket| bucket.name().to_owned());
    let named = buckets.iter().map(|bucket| Bucket {
        bucket_region: Some(service.region.clone()),
        creation_date: Some(timestamp(bucket.read().created)),
        name: Some(bucket.name().to_owned()),
    });
    ListBucketsOutput {
        buckets: Some(named.collect()),
        continuation_token: token,
        owner: None,
        prefix: input.prefix.clone(),
    }
}

pub(super) fn lifecycle(
    service: &Service,
    input: &GetBucketLifecycleConfigurationInput,
) -> Result<GetBucketLifecycleConfigurationOutput, Error> {
    let configuration = service.store.bucket(&input.bucket)?.read().lifecycle.clone();
    let configuration = configuration.ok_or_else(|| Error::NoLifecycle(input.bucket.clone()))?;
    let rules = Some(configuration.rules.clone());
    Ok(GetBucketLifecycleConfigurationOutput { rules, ..Default::default() })
}

pub(super) async fn put_lifecycle(
    service: &Service,
    input: PutBucketLifecycleConfigurationInput,
) -> Result<PutBucketLifecycleConfigurationOutput, Error> {
    let configuration = input.lifecycle_configuration.ok_or(Error::Xml("there are no lifecycle rules"))?;
    set_lifecycle(service, &input.bucket, Some(configuration)).await?;
    Ok(PutBucketLifecycleConfigurationOutput::default())
}

pub(super) async fn delete_lifecycle(
    service: &Service,
    input: DeleteBucketLifecycleInput,
) -> Result<DeleteBucketLifecycleOutput, Error> {
    set_lifecycle(service, &input.bucket, None).await?;
    Ok(DeleteBucketLifecycleOutput {})
}

/// Keeps the rules, or drops them. They are kept for those who ask for them; no rule is ever carried out.
async fn set_lifecycle(
    service: &Service,
    bucket: &str,
    configuration: Option<BucketLifecycleConfiguration>,
) -> Result<(), Error> {
    let bucket = service.store.bucket(bucket)?;
    let change = Change::Lifecycle { configuration: configuration.map(Arc::new) };
    blocking(move || bucket.commit(change, |_| Ok(()))).await
}
