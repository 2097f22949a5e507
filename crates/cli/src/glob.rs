//! The files that a glob matches. It is walked component by component: nothing is looked at that it does not name.
//!
//! `*` and `?` stay within a name, `**` crosses folders, `[ab]` and `{a,b}` are alternatives, and a backslash takes the next
//! character for itself. As in a shell, a name that begins with a dot is matched only by a pattern that does.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};

/// Whether an address is a glob, unless a file has just this name.
pub(crate) fn is_glob(address: &str) -> bool {
    address.contains(['*', '?'])
        || has_pair(address, '[', ']')
        || expand(address).is_some_and(|patterns| patterns.len() > 1)
}

fn has_pair(text: &str, open: char, close: char) -> bool {
    text.find(open).is_some_and(|start| text[start..].contains(close))
}

/// The folder that a glob begins in: all of it before its first component that is not plain.
pub(crate) fn base(address: &str) -> PathBuf {
    let plain = |part: &std::path::Component<'_>| is_plain(&part.as_os_str().to_string_lossy());
    let parts: Vec<_> = Path::new(address).components().collect();
    // The last component is a file's.
    let folders = &parts[..parts.len().saturating_sub(1)];
    folders.iter().take_while(|part| plain(part)).collect()
}

/// The files below `base` that the rest of the glob matches, by their names below it: paths and lengths.
///
/// # Errors
/// For what the glob names and cannot be taken, and for a pattern that is none.
pub(crate) fn matching(address: &str, base: &Path) -> Result<BTreeMap<String, (PathBuf, u64)>, String> {
    let rest = Path::new(address).strip_prefix(self::base(address)).unwrap_or(Path::new(address));
    let rest = rest.to_string_lossy();
    let patterns = expand(&rest).unwrap_or_else(|| vec![rest.to_string()]);
    let mut files = BTreeMap::new();
    for pattern in patterns {
        let parts: Vec<Part> =
            pattern.split('/').filter(|part| !part.is_empty()).map(Part::read).collect::<Result<_, _>>()?;
        walk(base, "", &parts, &mut files)?;
    }
    Ok(files)
}

/// One component of a pattern.
enum Part {
    /// This name.
    Plain(String),
    /// Names that match, hidden ones too or not.
    Matching(Box<GlobMatcher>, bool),
    /// Any number of folders, or none.
    Folders,
}

impl Part {
    fn read(part: &str) -> Result<Self, String> {
        if part == "**" {
            return Ok(Self::Folders);
        }
        if is_plain(part) {
            return Ok(Self::Plain(part.to_owned()));
        }
        let glob = GlobBuilder::new(part).literal_separator(true).backslash_escape(true).build();
        let glob = glob.map_err(|error| format!("the glob {part}: {error}"))?;
        Ok(Self::Matching(Box::new(glob.compile_matcher()), part.starts_with(['.', '\\'])))
    }

    fn matches(&self, name: &OsStr) -> bool {
        let is_hidden = is_hidden(name);
        match self {
            Self::Plain(plain) => name == OsStr::new(plain),
            Self::Matching(glob, with_hidden) => (*with_hidden || !is_hidden) && glob.is_match(name),
            Self::Folders => !is_hidden,
        }
    }
}

fn is_plain(part: &str) -> bool {
    !part.contains(['*', '?', '[', '{', '\\'])
}

/// Whether a name begins with a dot.
pub(crate) fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

/// Adds the files that these parts match below `folder`, whose own name below the base is `name`.
fn walk(
    folder: &Path,
    name: &str,
    parts: &[Part],
    files: &mut BTreeMap<String, (PathBuf, u64)>,
) -> Result<(), String> {
    let Some((part, rest)) = parts.split_first() else { return Ok(()) };
    if let Part::Plain(plain) = part {
        let (path, name) = (folder.join(plain), format!("{name}{plain}"));
        return match rest {
            [] => take(&path, name, files),
            rest => walk(&path, &(name + "/"), rest, files),
        };
    }
    if matches!(part, Part::Folders) && !rest.is_empty() {
        walk(folder, name, rest, files)?;
    }
    for entry in entries(folder)? {
        if !part.matches(&entry.file_name()) {
            continue;
        }
        let path = entry.path();
        let text =
            entry.file_name().into_string().map_err(|_| format!("the name of {path:?} is not UTF-8"))?;
        let below = format!("{name}{text}");
        let kind = entry.file_type().map_err(|error| format!("{}: {error}", path.display()))?;
        match (part, rest) {
            // Links to folders could lead round in a circle.
            (Part::Folders, _) if kind.is_dir() => walk(&path, &(below + "/"), parts, files)?,
            (Part::Folders, [_, ..]) => {}
            (_, []) => take(&path, below, files)?,
            (_, rest) if kind.is_dir() || kind.is_symlink() && path.is_dir() => {
                walk(&path, &(below + "/"), rest, files)?;
            }
            (_, _) => {}
        }
    }
    Ok(())
}

/// What is in a folder; nothing where there is none.
fn entries(folder: &Path) -> Result<Vec<DirEntry>, String> {
    let read = fs::read_dir(folder).and_then(Iterator::collect);
    match read {
        Ok(entries) => Ok(entries),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(Vec::new())
        }
        Err(error) => Err(format!("{}: {error}", folder.display())),
    }
}

/// Adds what a glob names, if it is a file; a folder is none.
fn take(path: &Path, name: String, files: &mut BTreeMap<String, (PathBuf, u64)>) -> Result<(), String> {
    match fs::metadata(path) {
        Ok(about) if about.is_file() => {
            files.insert(name, (path.to_owned(), about.len()));
            Ok(())
        }
        Ok(about) if about.is_dir() => Ok(()),
        Ok(_) => Err(format!("{} is no regular file", path.display())),
        // Not there at all, or a link to nothing.
        Err(error) if error.kind() == io::ErrorKind::NotFound && fs::symlink_metadata(path).is_err() => {
            Ok(())
        }
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

/// The patterns that a pattern with alternatives in braces stands for, in their order. None where its braces do not close.
fn expand(pattern: &str) -> Option<Vec<String>> {
    let Some((start, end, commas)) = first_braces(pattern)? else { return Some(vec![pattern.to_owned()]) };
    let (before, after) = (&pattern[..start], expand(&pattern[end + 1..])?);
    let bounds: Vec<usize> = [start].into_iter().chain(commas).chain([end]).collect();
    let mut patterns = Vec::new();
    for pair in bounds.windows(2) {
        for within in expand(&pattern[pair[0] + 1..pair[1]])? {
            patterns.extend(after.iter().map(|after| format!("{before}{within}{after}")));
        }
    }
    Some(patterns)
}

/// Where the first braces open and close, and the commas right within them. The outer None: they do not close.
#[allow(clippy::type_complexity, reason = "two places and a list, named above")]
fn first_braces(pattern: &str) -> Option<Option<(usize, usize, Vec<usize>)>> {
    let (mut start, mut depth, mut commas, mut is_escaped) = (0, 0_usize, Vec::new(), false);
    for (position, letter) in pattern.char_indices() {
        if std::mem::take(&mut is_escaped) {
            continue;
        }
        match letter {
            '\\' => is_escaped = true,
            '{' => {
                if depth == 0 {
                    start = position;
                }
                depth += 1;
            }
            '}' if depth == 1 => return Some(Some((start, position, commas))),
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 1 => commas.push(position),
            _ => {}
        }
    }
    (depth == 0).then_some(None)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        folder
    }

    fn names(address: &str, folder: &Path) -> Vec<String> {
        let files = matching(address, &folder.join(base(address))).unwrap();
        files.into_keys().collect()
    }

    #[test]
    fn alternatives_are_expanded_as_in_a_shell() {
        for (pattern, expanded) in [
            ("{a,b}.txt", &["a.txt", "b.txt"][..]),
            ("{a,b{1,2}}", &["a", "b1", "b2"]),
            ("{a/x,b/y}.{c,d}", &["a/x.c", "a/x.d", "b/y.c", "b/y.d"]),
            ("a\\{b,c\\}", &["a\\{b,c\\}"]),
            ("{,x}a", &["a", "xa"]),
        ] {
            assert_eq!(expand(pattern).unwrap(), expanded, "{pattern}");
        }
        assert_eq!(expand("{a,b"), None);
    }

    #[test]
    fn brackets_and_braces_alone_make_a_glob() {
        for glob in ["*", "a?", "[ab].txt", "c[12].txt", "{a,b}.txt"] {
            assert!(is_glob(glob), "{glob}");
        }
        for plain in ["a.txt", "{name}.txt", "a[b", "a]b[", "{a,b", "a\\{b,c\\}"] {
            assert!(!is_glob(plain), "{plain}");
        }
    }

    #[test]
    fn a_glob_matches_what_a_shell_would() {
        let folder = folder(&[
            "a.txt",
            "b.txt",
            "c.csv",
            "d/1.csv",
            "d/2.csv",
            "d/e/3.csv",
            ".hidden.txt",
            "d/.h/4.csv",
            "d/.5.csv",
        ]);
        for (glob, found) in [
            ("*.txt", &["a.txt", "b.txt"][..]),
            ("[ab].txt", &["a.txt", "b.txt"]),
            ("{b,a,a}.txt", &["a.txt", "b.txt"]),
            ("{a.txt,d/1.csv}", &["a.txt", "d/1.csv"]),
            (".*.txt", &[".hidden.txt"]),
            ("**/*.csv", &["c.csv", "d/1.csv", "d/2.csv", "d/e/3.csv"]),
            ("d/**", &["1.csv", "2.csv", "e/3.csv"]),
            ("*/[12].csv", &["d/1.csv", "d/2.csv"]),
            ("d/?.csv", &["1.csv", "2.csv"]),
            ("*.none", &[]),
            ("none/*", &[]),
        ] {
            assert_eq!(names(glob, folder.path()), found, "{glob}");
        }
    }

    #[test]
    fn what_a_glob_does_not_name_is_not_looked_at() {
        let folder = folder(&["a.csv", "sub/b.csv"]);
        let path = |name: &str| folder.path().join(name);
        symlink("/nowhere", path("sub/dangling")).unwrap();
        symlink("/nowhere", path("dangling")).unwrap();
        symlink(path("sub"), path("link")).unwrap();
        assert_eq!(names("*.csv", folder.path()), ["a.csv"]);
        assert_eq!(names("*/*.csv", folder.path()), ["link/b.csv", "sub/b.csv"]);
        let refusal = matching("*", &folder.path().join(base("*"))).unwrap_err();
        assert!(refusal.contains("dangling: No such file"), "{refusal}");
    }
}
