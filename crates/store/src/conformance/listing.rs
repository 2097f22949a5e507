//! Properties of lists.

use futures::{StreamExt, TryStreamExt, stream};

use super::{Verdict, World, ensure, equal, sample};
use crate::ext::StoreExt;
use crate::object::{Listed, PutOptions};

/// More than one page of 1,000.
const MORE_THAN_A_PAGE: usize = 1_203;

/// Requests at once while many objects are made.
const PUTS_IN_FLIGHT: usize = 32;

/// The order is that of the keys' bytes, not that of folders, of letters without case, or of UTF-16.
pub async fn a_list_is_in_byte_order_and_below_its_prefix(world: &World) -> Verdict {
    // In UTF-16, U+FF5E comes after U+1F600; as bytes, before.
    let names =
        ["in/a", "in/a-b", "in/a/b", "in/B", "in/b", "in/\u{ff5e}", "in/😀", "in", "in-", "inn", "io"];
    for (bytes, name) in names.iter().enumerate() {
        world.store.put(&world.at(name), sample(bytes, 20), PutOptions::default()).await?;
    }
    let listed = world.store.list_all(&world.bucket, &world.at("in/").key).await?;
    let mut should_be = Vec::new();
    for name in names.iter().filter(|name| name.starts_with("in/")) {
        let info = world.store.head(&world.at(name)).await?;
        should_be.push(Listed { key: world.at(name).key, size: info.size, etag: info.etag });
    }
    should_be.sort_by(|left, right| left.key.as_bytes().cmp(right.key.as_bytes()));
    equal("the list", &listed, &should_be)
}

/// `after` is left out itself, need not exist, and may lie outside the prefix.
pub async fn a_list_begins_after_the_key_it_is_given(world: &World) -> Verdict {
    for name in ["p/1", "p/2", "p/3", "q"] {
        world.store.put(&world.at(name), sample(1, 21), PutOptions::default()).await?;
    }
    let cases: [(&str, &[&str]); 5] = [
        ("p/1", &["p/2", "p/3"]),
        ("p/15", &["p/2", "p/3"]),
        ("p/3", &[]),
        ("o", &["p/1", "p/2", "p/3"]),
        ("q", &[]),
    ];
    for (after, should_be) in cases {
        let (prefix, after_key) = (world.at("p/").key, world.at(after).key);
        let page = world.store.list(&world.bucket, &prefix, Some(&after_key)).await?;
        let keys: Vec<String> = page.objects.into_iter().map(|object| object.key).collect();
        let should_be: Vec<String> = should_be.iter().map(|name| world.at(name).key).collect();
        equal(&format!("the list after {after}"), &keys, &should_be)?;
        equal("the next page of the last page", &page.next, &None)?;
    }
    Ok(())
}

/// Paging neither loses nor repeats an object, and all of them can be deleted at once.
pub async fn a_list_longer_than_a_page_is_whole(world: &World) -> Verdict {
    let keys: Vec<String> = (0..MORE_THAN_A_PAGE).map(|place| world.at(&format!("{place:05}")).key).collect();
    stream::iter(0..MORE_THAN_A_PAGE)
        .map(|place| async move {
            let at = world.at(&format!("{place:05}"));
            world.store.put(&at, sample(place % 3, 22), PutOptions::default()).await.map(drop)
        })
        .buffer_unordered(PUTS_IN_FLIGHT)
        .try_collect::<()>()
        .await?;
    let pages: Vec<_> = world.store.pages(&world.bucket, &world.prefix).try_collect().await?;
    ensure(pages.len() > 1 && pages.iter().all(|page| page.objects.len() <= 1_000), || {
        format!(
            "the pages have {:?} objects",
            pages.iter().map(|page| page.objects.len()).collect::<Vec<_>>()
        )
    })?;
    let listed: Vec<String> =
        pages.into_iter().flat_map(|page| page.objects).map(|object| object.key).collect();
    equal("the list", &listed, &keys)?;
    world.store.delete(&world.bucket, &keys).await?;
    let left = world.store.list(&world.bucket, &world.prefix, None).await?;
    equal("what is left after all were deleted", &left.objects.len(), &0)
}
