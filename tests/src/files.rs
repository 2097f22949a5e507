//! What a store keeps on this machine's disk, changed behind the store's back.

use std::fs;
use std::path::{Path, PathBuf};

/// Changes one bit of the only place below a folder where these bytes stand, in the midst of them.
///
/// # Panics
/// When they stand nowhere, or in several places.
pub fn flip(folder: &Path, bytes: &[u8]) {
    let places: Vec<_> = files(folder).into_iter().flat_map(|file| places(&file, bytes)).collect();
    let [(file, at)] = &places[..] else { panic!("the bytes stand in one place, and not in {places:?}") };
    let mut content = fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    content[at + bytes.len() / 2] ^= 1;
    // In place: whoever has the file open sees it.
    fs::write(file, content).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
}

/// All files below a folder; those that go meanwhile are left out.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Where the bytes stand in a file; one that has gone meanwhile has none.
fn places(file: &Path, bytes: &[u8]) -> Vec<(PathBuf, usize)> {
    let content = fs::read(file).unwrap_or_default();
    let places = content.windows(bytes.len()).enumerate().filter(|(_, window)| *window == bytes);
    places.map(|(at, _)| (file.to_owned(), at)).collect()
}
