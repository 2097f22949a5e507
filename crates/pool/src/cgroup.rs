//! The cgroup that this process is in: where its files are, and what memory is left in it.
//!
//! Owes `oom` a path, and `memory` a number: what the group and those above it still allow. Both versions of cgroups count, since
//! containers of either are about; the file systems are looked for where they are mounted.

use std::fs;
use std::path::{Path, PathBuf};

/// What no machine has: the kernel writes such a number, or `max`, where there is no limit.
const NO_LIMIT_BYTES: u64 = 1 << 60;

/// Reads a file as text.
fn read(path: impl AsRef<Path>) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// The folder of this process's cgroup of version 2, where that is mounted.
pub(crate) fn folder() -> Option<PathBuf> {
    let (groups, mounts) = (read("/proc/self/cgroup")?, read("/proc/self/mountinfo")?);
    Version::Two.folder(&groups, &mounts).map(|place| place.folder)
}

/// A version of cgroups, by which memory may be governed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// Where a group's files are, and those of the groups above it.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    /// The group's own.
    folder: PathBuf,
    /// Where what can be seen of the tree begins.
    top: PathBuf,
}

impl Version {
    /// Finds the group that governs memory, by `/proc/self/cgroup` and `/proc/self/mountinfo` (cgroups(7),
    /// proc_pid_mountinfo(5)).
    fn folder(self, groups: &str, mounts: &str) -> Option<Place> {
        let group = groups.lines().find_map(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            self.governs_memory_by(controllers).then_some(path)
        })?;
        mounts.lines().find_map(|line| {
            let (mount, file_system) = line.split_once(" - ")?;
            if !self.is_mounted_as(file_system) {
                return None;
            }
            let mut fields = mount.split(' ').skip(3);
            let (root, top) = (fields.next()?, fields.next()?);
            // The part of the tree that is mounted, which in a container need not be the whole.
            let below = Path::new(group).strip_prefix(root).ok()?;
            Some(Place { folder: Path::new(top).join(below), top: top.into() })
        })
    }

    fn governs_memory_by(self, controllers: &str) -> bool {
        match self {
            Version::One => controllers.split(',').any(|controller| controller == "memory"),
            Version::Two => controllers.is_empty(),
        }
    }

    fn is_mounted_as(self, file_system: &str) -> bool {
        match self {
            Version::One => {
                let mut fields = file_system.split(' ');
                fields.next() == Some("cgroup")
                    && fields
                        .nth(1)
                        .is_some_and(|options| options.split(',').any(|option| option == "memory"))
            }
            Version::Two => file_system.starts_with("cgroup2 "),
        }
    }

    /// The files of a group that say what it may take, what it takes, and by which name `memory.stat` has what of that would
    /// be given up first: pages of files that nobody has read lately.
    fn names(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Version::One => ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file "),
            Version::Two => ("memory.max", "memory.current", "inactive_file "),
        }
    }
}

/// The groups that limit the memory of this process.
#[derive(Debug)]
pub(crate) struct Limits {
    groups: Vec<(Version, PathBuf)>,
}

impl Limits {
    /// Finds those that have a limit now: this process's group, and those above it.
    pub(crate) fn find() -> Limits {
        let files = read("/proc/self/cgroup").zip(read("/proc/self/mountinfo"));
        let groups = files.map_or_else(Vec::new, |(groups, mounts)| {
            let places =
                [Version::One, Version::Two].map(|version| (version, version.folder(&groups, &mounts)));
            places
                .into_iter()
                .filter_map(|(version, place)| Some((version, place?)))
                .flat_map(limited)
                .collect()
        });
        Limits { groups }
    }

    /// How much more memory they allow, in bytes: the one that allows the least. `None` where there is no limit.
    pub(crate) fn available_bytes(&self) -> Option<u64> {
        self.groups.iter().filter_map(|(version, folder)| left(*version, folder)).min()
    }
}

/// A group and those above it, as far as they have a limit.
fn limited((version, Place { folder, top }): (Version, Place)) -> Vec<(Version, PathBuf)> {
    let seen = folder.ancestors().take_while(|folder| folder.starts_with(&top));
    seen.filter(|folder| left(version, folder).is_some()).map(|folder| (version, folder.to_owned())).collect()
}

/// What a group has left below its limit; `None` where it has none.
fn left(version: Version, group: &Path) -> Option<u64> {
    let (limit, usage, idle) = version.names();
    let number = |name| read(group.join(name))?.trim().parse::<u64>().ok();
    let limit_bytes = number(limit).filter(|&bytes| bytes < NO_LIMIT_BYTES)?;
    let stat = read(group.join("memory.stat")).unwrap_or_default();
    let idle_bytes = stat.lines().find_map(|line| line.strip_prefix(idle)?.parse::<u64>().ok()).unwrap_or(0);
    Some(limit_bytes.saturating_sub(number(usage)?.saturating_sub(idle_bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DISK: &str = "22 1 8:1 / / rw - ext4 /dev/sda rw\n";

    fn folder_of(version: Version, groups: &str, mount: &str) -> Option<PathBuf> {
        version.folder(groups, &format!("{DISK}{mount}\n")).map(|place| place.folder)
    }

    #[test]
    fn the_folder_of_the_group_is_found_through_whatever_part_of_the_tree_is_mounted() {
        let cases = [
            ("0::/user.slice/app\n", "/", Some("/sys/fs/cgroup/user.slice/app")),
            ("4:memory:/a\n0::/\n", "/", Some("/sys/fs/cgroup/")),
            ("0::/docker/1234/job\n", "/docker/1234", Some("/sys/fs/cgroup/job")),
            ("0::/elsewhere\n", "/docker/1234", None),
            ("4:memory:/only/version/1\n", "/", None),
        ];
        for (groups, root, expected) in cases {
            let mount = format!("31 22 0:26 {root} /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw");
            assert_eq!(
                folder_of(Version::Two, groups, &mount).as_deref(),
                expected.map(Path::new),
                "{groups}"
            );
        }
        assert_eq!(folder_of(Version::Two, "0::/", ""), None);
    }

    #[test]
    fn where_version_1_governs_memory_it_is_that_tree_and_none_of_the_others() {
        let mounts = "28 23 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                      35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory";
        for (groups, expected) in [
            ("9:name=systemd:/\n4:memory:/a/b\n1:cpu:/c\n0::/\n", Some("/sys/fs/cgroup/memory/a/b")),
            ("4:hugetlb,memory:/a\n", Some("/sys/fs/cgroup/memory/a")),
            ("1:cpu:/memory\n0::/memory\n", None),
        ] {
            assert_eq!(
                folder_of(Version::One, groups, mounts).as_deref(),
                expected.map(Path::new),
                "{groups}"
            );
        }
    }

    #[test]
    fn what_is_left_is_that_of_the_tightest_group_and_old_pages_of_files_count_as_left() {
        let folder = tempfile::tempdir().unwrap();
        let write = |group: &str, files: [(&str, &str); 3]| {
            let group = folder.path().join(group);
            fs::create_dir_all(&group).unwrap();
            for (name, text) in files {
                fs::write(group.join(name), text).unwrap();
            }
        };
        let stat = "anon 1\nactive_file 7\ninactive_file 300\n";
        write(".", [("memory.max", "max\n"), ("memory.current", "9\n"), ("memory.stat", "")]);
        write("a", [("memory.max", "1000\n"), ("memory.current", "900\n"), ("memory.stat", "")]);
        write("a/b", [("memory.max", "600\n"), ("memory.current", "700\n"), ("memory.stat", stat)]);
        let place = |group: &str| Place { folder: folder.path().join(group), top: folder.path().to_owned() };
        let left = |group| Limits { groups: limited((Version::Two, place(group))) }.available_bytes();
        assert_eq!((left("a/b"), left("a")), (Some(100), Some(100)));
        write("a/b", [("memory.max", "410\n"), ("memory.current", "700\n"), ("memory.stat", stat)]);
        assert_eq!(left("a/b"), Some(10));
        assert_eq!(
            Limits { groups: limited((Version::Two, Place { ..place(".") })) }.available_bytes(),
            None
        );
    }
}
