//! One page of a listing, in byte order, with common prefixes rolled up: a pure function over a sorted map.
//!
//! Owed to the neighbours: pages put one after the other name each key, or the prefix that it is rolled up in, exactly
//! once; the cost of a page does not depend on how many keys a rolled-up prefix hides.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::record::UploadKey;

/// A map's key that is listed by a name.
pub(crate) trait Named: Ord + Clone {
    /// What is listed, and compared with prefix and delimiter.
    fn name(&self) -> &str;
    /// The least key whose name is at least `name`.
    fn least_of(name: String) -> Self;
}

impl Named for String {
    fn name(&self) -> &str {
        self
    }

    fn least_of(name: String) -> Self {
        name
    }
}

impl Named for UploadKey {
    fn name(&self) -> &str {
        &self.key
    }

    fn least_of(name: String) -> Self {
        Self { key: name, id: String::new() }
    }
}

/// Where a page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum After<K> {
    Nothing,
    /// Behind this key.
    Key(K),
    /// Behind every key that begins so.
    Group(String),
}

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Query<'a, K> {
    pub(crate) prefix: &'a str,
    /// Not empty.
    pub(crate) delimiter: Option<&'a str>,
    pub(crate) after: After<K>,
    /// Entries and groups together.
    pub(crate) limit: usize,
}

/// What is answered.
#[derive(Debug)]
pub(crate) struct Page<'a, K, V> {
    pub(crate) entries: Vec<(&'a K, &'a V)>,
    /// Common prefixes, each up to and with the delimiter.
    pub(crate) groups: Vec<String>,
    /// Where the next page begins, if there is one.
    pub(crate) next: Option<After<K>>,
}

/// The page that `query` asks for.
pub(crate) fn page<'a, K: Named, V>(map: &'a BTreeMap<K, V>, query: &Query<'_, K>) -> Page<'a, K, V> {
    let mut page = Page { entries: Vec::new(), groups: Vec::new(), next: None };
    if query.limit == 0 {
        return page;
    }
    let mut last = After::Nothing;
    let Some(mut from) = beginning(query) else { return page };
    while let Some((key, value)) = map.range((from.as_ref(), Bound::Unbounded)).next() {
        let Some(rest) = key.name().strip_prefix(query.prefix) else { break };
        if page.entries.len() + page.groups.len() == query.limit {
            page.next = Some(last);
            break;
        }
        let cut = query.delimiter.and_then(|delimiter| rest.find(delimiter).map(|at| at + delimiter.len()));
        let Some(cut) = cut else {
            page.entries.push((key, value));
            last = After::Key(key.clone());
            from = Bound::Excluded(key.clone());
            continue;
        };
        let group = format!("{}{}", query.prefix, rest.get(..cut).unwrap_or(rest));
        let Some(behind) = behind_all(&group) else {
            // No string sorts behind this group: it is the last.
            page.groups.push(group);
            break;
        };
        // A listing that begins at the group's own name has had it before.
        if !matches!(&query.after, After::Key(key) if key.name() == group) {
            last = After::Group(group.clone());
            page.groups.push(group);
        }
        from = Bound::Included(K::least_of(behind));
    }
    page
}

/// The lower bound of the page, if anything can lie above it.
fn beginning<K: Named>(query: &Query<'_, K>) -> Option<Bound<K>> {
    let prefix = K::least_of(query.prefix.to_owned());
    Some(match &query.after {
        After::Nothing => Bound::Included(prefix),
        After::Key(key) if *key < prefix => Bound::Included(prefix),
        After::Key(key) => Bound::Excluded(key.clone()),
        After::Group(group) => Bound::Included(K::least_of(behind_all(group)?).max(prefix)),
    })
}

/// The least string above every string that begins with `start`, if there is one. UTF-8 sorts as its characters do.
fn behind_all(start: &str) -> Option<String> {
    let mut characters: Vec<char> = start.chars().collect();
    while let Some(last) = characters.pop() {
        if let Some(next) = (last..=char::MAX).nth(1) {
            characters.push(next);
            return Some(characters.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// All that is to be listed, by going through all keys: entries and groups in one order.
    fn model(keys: &[String], prefix: &str, delimiter: Option<&str>) -> Vec<String> {
        let mut names = Vec::new();
        for key in keys {
            let Some(rest) = key.strip_prefix(prefix) else { continue };
            let name = match delimiter
                .and_then(|delimiter| rest.split_once(delimiter).map(|(head, _)| (head, delimiter)))
            {
                Some((head, delimiter)) => format!("{prefix}{head}{delimiter}"),
                None => key.clone(),
            };
            if names.last() != Some(&name) {
                names.push(name);
            }
        }
        names
    }

    fn names(page: &Page<'_, String, ()>) -> Vec<String> {
        let mut names: Vec<String> = page.entries.iter().map(|(key, ())| (*key).clone()).collect();
        names.extend(page.groups.iter().cloned());
        names.sort();
        names
    }

    /// Few characters, so that prefixes and groups happen, and the ends of the alphabet.
    fn a_key() -> impl Strategy<Value = String> {
        prop::collection::vec(prop::sample::select(vec!['a', 'b', '/', '\u{D7FF}', '\u{10FFFF}']), 0..6)
            .prop_map(|characters| characters.into_iter().collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn pages_in_a_row_are_the_whole_listing(
            keys in prop::collection::btree_set(a_key(), 0..40),
            prefix in a_key(),
            delimiter in prop::option::of(prop::sample::select(vec!["/", "a", "//"])),
            limit in 1..5_usize,
        ) {
            let prefix: String = prefix.chars().take(2).collect();
            let map: BTreeMap<String, ()> = keys.into_iter().map(|key| (key, ())).collect();
            let keys: Vec<String> = map.keys().cloned().collect();
            let mut listed = Vec::new();
            let mut after = After::Nothing;
            loop {
                let query = Query { prefix: &prefix, delimiter, after, limit };
                let page = page(&map, &query);
                let names = names(&page);
                prop_assert!(names.len() <= limit);
                listed.extend(names.iter().cloned());
                match page.next {
                    // A page that is not the last one is full.
                    Some(next) => { prop_assert_eq!(names.len(), limit); after = next; }
                    None => break,
                }
            }
            prop_assert_eq!(listed, model(&keys, &prefix, delimiter));
        }

        #[test]
        fn a_listing_after_a_key_has_what_lies_behind_it(
            keys in prop::collection::btree_set(a_key(), 0..40),
            after in a_key(),
            delimiter in prop::option::of(Just("/")),
        ) {
            let map: BTreeMap<String, ()> = keys.into_iter().map(|key| (key, ())).collect();
            let behind: Vec<String> = map.keys().filter(|key| **key > after).cloned().collect();
            let query = Query { prefix: "", delimiter, after: After::Key(after.clone()), limit: 1_000 };
            let mut expected = model(&behind, "", delimiter);
            expected.retain(|name| *name != after);
            prop_assert_eq!(names(&page(&map, &query)), expected);
        }
    }

    #[test]
    fn uploads_of_one_key_are_paged_by_their_ids() {
        let upload = |key: &str, id: &str| UploadKey { key: key.into(), id: id.into() };
        let map: BTreeMap<UploadKey, ()> =
            [upload("a", "1"), upload("a", "2"), upload("b", "0")].into_iter().map(|key| (key, ())).collect();
        let query = Query { prefix: "", delimiter: None, after: After::Key(upload("a", "1")), limit: 1 };
        let page = page(&map, &query);
        assert_eq!(page.entries[0].0, &upload("a", "2"));
        assert_eq!(page.next, Some(After::Key(upload("a", "2"))));
    }
}
