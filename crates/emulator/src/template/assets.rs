//! Where the code of functions is: the folders that CDK lays beside the template.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The file assets of a stack, by the key that they would have in the bucket of the bootstrap stack.
#[derive(Debug, Default)]
pub(super) struct Assets {
    folder: PathBuf,
    sources: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    files: BTreeMap<String, File>,
}

#[derive(Deserialize)]
struct File {
    source: Source,
    destinations: BTreeMap<String, Destination>,
}

#[derive(Deserialize)]
struct Source {
    /// Missing where a program makes the file.
    path: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Destination {
    object_key: String,
}

impl Assets {
    /// Reads `<Stack>.assets.json`. Without one, nothing is known.
    pub(super) fn read(manifest: &Path) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let text = match std::fs::read_to_string(manifest) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error.into()),
        };
        let Manifest { files } = serde_json::from_str(&text)?;
        let sources = files.into_values().flat_map(|file| {
            let path = file.source.path;
            file.destinations.into_values().filter_map(move |to| Some((to.object_key, path.clone()?)))
        });
        let folder = manifest.parent().unwrap_or(Path::new("")).to_owned();
        Ok(Self { folder, sources: sources.collect() })
    }

    /// The folder that would be zipped to `key`, with a program called `bootstrap`.
    ///
    /// # Errors
    /// There is none, in a sentence.
    pub(super) fn code_folder(&self, key: &str) -> Result<PathBuf, String> {
        let source = self.sources.get(key).ok_or_else(|| {
            format!("no asset beside the template would be uploaded as {key}; synthesize it again with CDK, and keep cdk.out together")
        })?;
        let folder = self.folder.join(source);
        if folder.is_file() {
            return Err(format!(
                "its code is the file {}; the emulator runs code from a folder: give the folder to Code.fromAsset",
                folder.display()
            ));
        }
        let bootstrap = folder.join("bootstrap");
        if !bootstrap.is_file() {
            return Err(format!("there is no program {}", bootstrap.display()));
        }
        if !is_executable(&bootstrap) {
            return Err(format!("{} is not executable; run chmod +x on its original", bootstrap.display()));
        }
        folder.canonicalize().map_err(|error| format!("{}: {error}", folder.display()))
    }
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o111 != 0)
}
