//! The service's numbers, and our own that follow from them, in one place, each with its source.

/// Longest key of an object, in bytes of UTF-8 (S3 user guide, "Object key naming").
pub const KEY_BYTES: usize = 1024;

/// Most parts of a multipart upload (S3 user guide, "Multipart upload limits").
pub const UPLOAD_PARTS: u32 = 10_000;

/// Smallest part of a multipart upload but for the last: 5 MiB (same source).
pub const PART_BYTES_MIN: u64 = 5 << 20;

/// Largest part of a multipart upload: 5 GiB (same source).
pub const PART_BYTES_MAX: u64 = 5 << 30;

/// Largest range that one copy request takes here, 512 MiB: a longer copy risks the client's time-outs.
pub const COPY_BYTES_MAX: u64 = 512 << 20;

/// Most keys of one DeleteObjects request, and of one page of a list (S3 API reference).
pub const KEYS_PER_REQUEST: usize = 1_000;

/// Largest payload of an asynchronous Invoke, in bytes (Lambda quotas, 2025-10).
pub const EVENT_PAYLOAD_BYTES: usize = 1 << 20;

/// Largest payload of a synchronous Invoke and of its answer, in bytes: 6 MiB and 100 bytes.
/// (The quota says 6 MB; the service's own error message names this figure.)
pub const CALL_PAYLOAD_BYTES: usize = 6_291_556;

/// Longest header of a CSV source as JSON, ours: half of what an asynchronous Invoke takes, since each payload has it.
pub const HEADER_JSON_BYTES_MAX: u64 = 512 << 10;

/// Most chunks of a job, ours: the reducer holds a record of each in memory, of 200 bytes, and of 600 where it stands in an
/// object of its own, and the numbers in keys have six digits for as many partitions.
pub const CHUNKS_MAX: u64 = 1_000_000;

/// Longest time that an invocation may take, in milliseconds: 15 minutes (Lambda quotas).
pub const FUNCTION_MS_MAX: i64 = 900_000;

/// Most hops of a partition, ours: ten days of workers' time. Since a function that goes on by invoking itself must be allowed to,
/// nothing else would end one that never comes to its end.
pub const HOPS_MAX: u32 = 1_000;

/// Most hops of a reducer, ours: a day of its time. S3 copies some gigabytes a second for it, and so the largest object that
/// there can be in a tenth of that.
pub const REDUCER_HOPS_MAX: u32 = 100;

/// Memory that earns one vCPU, in MB (Lambda documentation, "Configure function memory").
pub const MEMORY_MB_PER_VCPU: u32 = 1_769;

/// vCPUs of the largest function (10,240 MB).
pub const VCPUS_MAX: u32 = 6;
