//! What is put together: objects of given sizes, and the same bytes as Fanfold's workers would have left them.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use fanfold_flow::chunk::ObjectVersion;
use fanfold_flow::concat::{Element, Range};
use fanfold_flow::crc::Crc64;
use fanfold_flow::uri::ObjectUri;
use fanfold_store::{PutOptions, Store};
use futures::{StreamExt, TryStreamExt, stream};

const MIB: usize = 1 << 20;

/// Objects that are put at once.
const PUTS_IN_FLIGHT: usize = 16;

/// Results under this size share objects: what S3 does not take as a part of its own.
const SMALL_BYTES: usize = 5 * MIB;

/// From this size on an object of small results is full.
const PACK_BYTES: usize = 8 * MIB;

/// Objects to put together, by their sizes in bytes.
pub(crate) struct Workload {
    pub(crate) name: String,
    sizes: Vec<usize>,
}

impl Workload {
    /// All of them, with so many per cent of their objects.
    pub(crate) fn all(percent: usize) -> Vec<Self> {
        let alike = |count: usize, bytes: usize, each: &str| {
            let count = (count * percent / 100).max(2);
            Self { name: format!("{count} pieces of {each}"), sizes: vec![bytes; count] }
        };
        let mixed = [1, 6, 1, 7, 2].map(|mebibytes| mebibytes * MIB).to_vec();
        vec![
            alike(1_000, MIB, "1 MiB"),
            alike(200, 8 * MIB, "8 MiB"),
            alike(10_000, 64 << 10, "64 KiB"),
            Self { name: "pieces of 1, 6, 1, 7 and 2 MiB".to_owned(), sizes: mixed },
        ]
    }
}

/// A workload whose objects are there.
pub(crate) struct Seeded {
    /// What the keys of the objects begin with; in their order, the objects are in order.
    pub(crate) prefix: String,
    /// The objects, each an element.
    pub(crate) pieces: Vec<Element>,
    /// The same bytes as stretches of objects that workers have packed them into, where they would.
    pub(crate) packed: Option<Vec<Element>>,
}

impl Seeded {
    /// Puts everything.
    pub(crate) async fn in_bucket(store: &Arc<dyn Store>, bucket: &str, workload: &Workload) -> Self {
        let block = block();
        let piece = |index: usize| bytes_of(&block, index, workload.sizes[index]);
        let packs = packs(&workload.sizes);
        let (alone, prefix) = (0..workload.sizes.len(), "pieces/".to_owned());
        let pieces = put(store, bucket, &prefix, alone.map(|index| vec![index]).collect(), &piece).await;
        let packed = match packs {
            Some(packs) => Some(put(store, bucket, "packs/", packs, &piece).await),
            None => None,
        };
        Self { prefix, pieces, packed }
    }

    /// How many bytes the first so many pieces are, and their CRC.
    pub(crate) fn first(&self, count: usize) -> (u64, Crc64) {
        let first = &self.pieces[..count.min(self.pieces.len())];
        first.iter().fold((0, Crc64::EMPTY), |(bytes, crc), piece| {
            (bytes + piece.bytes(), crc.then(piece.crc(), piece.bytes()))
        })
    }
}

/// Which pieces a worker would pack into one object; none where it would pack none.
fn packs(sizes: &[usize]) -> Option<Vec<Vec<usize>>> {
    if sizes.iter().any(|size| *size >= SMALL_BYTES) {
        return None;
    }
    let mut packs: Vec<(Vec<usize>, usize)> = Vec::new();
    for (index, size) in sizes.iter().enumerate() {
        match packs.last_mut() {
            Some((pack, bytes)) if *bytes < PACK_BYTES => {
                pack.push(index);
                *bytes += size;
            }
            _ => packs.push((vec![index], *size)),
        }
    }
    Some(packs.into_iter().map(|(pack, _)| pack).collect())
}

/// Puts objects of these pieces, and gives the pieces as elements.
async fn put(
    store: &Arc<dyn Store>,
    bucket: &str,
    prefix: &str,
    objects: Vec<Vec<usize>>,
    piece: &impl Fn(usize) -> Bytes,
) -> Vec<Element> {
    let puts = objects.into_iter().map(|indexes| async move {
        let pieces: Vec<Bytes> = indexes.iter().map(|index| piece(*index)).collect();
        let whole: Bytes = pieces
            .iter()
            .fold(BytesMut::new(), |mut all, piece| {
                all.extend_from_slice(piece);
                all
            })
            .freeze();
        let object = ObjectUri::new(bucket, format!("{prefix}{:06}", indexes[0]));
        let object_bytes = whole.len() as u64;
        let etag = store.put(&object, whole, PutOptions::default()).await?;
        let object = ObjectVersion { uri: object, etag: etag.to_string(), bytes: object_bytes };
        let (object, mut start) = (Arc::new(object), 0);
        let elements = pieces.into_iter().map(|piece| {
            let end = start + piece.len() as u64;
            let range = Range { object: Arc::clone(&object), start, end };
            start = end;
            Element::Piece(range, Crc64::of(&piece))
        });
        Ok::<_, fanfold_store::StoreError>(elements.collect::<Vec<_>>())
    });
    let put = stream::iter(puts).buffered(PUTS_IN_FLIGHT).try_collect::<Vec<_>>().await;
    put.expect("the objects can be put").into_iter().flatten().collect()
}

/// What all pieces are cut from: no two places in it are alike.
fn block() -> Bytes {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let words = (0..2 * MIB).map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.flatten().collect::<Vec<u8>>().into()
}

/// A piece's bytes: its index, and what stands at a place of its own in the block, so that a piece out of order shows.
fn bytes_of(block: &Bytes, index: usize, size: usize) -> Bytes {
    let mut bytes = BytesMut::with_capacity(size);
    bytes.extend_from_slice(&(index as u64).to_be_bytes());
    let room = block.len() - size;
    let place = index * 7_919 % room.max(1);
    bytes.extend_from_slice(&block[place..place + size - bytes.len()]);
    bytes.freeze()
}
