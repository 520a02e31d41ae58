//! What does not make a file wrong, and what no daemon runs with all the same: secrets that others know.

use super::fault::{Fault, Place};
use nix::unistd::{Gid, getegid, geteuid, getgroups};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The secrets of the README, of the examples and of this project's own tests. Part of one is enough.
const SAMPLES: &[&str] = &["replace-this", "replace this"];

/// Where a secret came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The file itself.
    File,
    /// A file that `<key>_file` names.
    Named(PathBuf),
    /// The environment.
    Variable,
}

/// One secret in force: its key, where it came from, where that is said, and whether it is a sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) key: String,
    pub(super) origin: Origin,
    pub(super) place: Place,
    pub(super) is_sample: bool,
}

pub(super) fn is_sample(secret: &str) -> bool {
    SAMPLES.iter().any(|sample| secret.to_lowercase().contains(sample))
}

/// What is wrong with how the secrets are kept.
pub(super) fn find(kept: &[Kept], file: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut looked_at = Vec::new();
    for Kept { key, origin, place, is_sample } in kept {
        let fault = |rule: String, fix: String| Fault { place: place.clone(), key: key.clone(), rule, fix };
        if *is_sample {
            let rule = "is the sample of the documentation, which everybody knows".to_owned();
            faults.push(fault(rule, "use a secret of your own, for example the output of `openssl rand -hex 32`".into()));
        }
        let path = match origin {
            Origin::File => file,
            Origin::Named(path) => path,
            Origin::Variable => continue,
        };
        if looked_at.contains(&path) {
            continue;
        }
        looked_at.push(path);
        if let Some(mode) = open_to_others(path) {
            let rule = format!("stands in {}, which other users of this host can read or write (mode {mode:04o})", path.display());
            let fix = format!(
                "`chmod 600 {0}` if it belongs to the user who runs witch, or `chown root:GROUP {0} && chmod 640 {0}` with that user's group",
                path.display()
            );
            faults.push(fault(rule, fix));
        }
    }
    faults
}

/// The mode of a file that is not for its owner alone, nor root's for the group of the daemon. One that cannot be looked at is no secret's.
fn open_to_others(path: &Path) -> Option<u32> {
    let metadata = path.metadata().ok()?;
    let mode = metadata.mode() & 0o777;
    let (group, is_roots) = (Gid::from_raw(metadata.gid()), metadata.uid() == 0);
    let is_ours = || geteuid().is_root() || group == getegid() || getgroups().is_ok_and(|groups| groups.contains(&group));
    let is_kept = mode & 0o077 == 0 || (is_roots && mode & 0o037 == 0 && is_ours());
    (!is_kept).then_some(mode)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    fn kept(origin: Origin, is_sample: bool) -> Kept {
        Kept { key: "cluster.token".into(), origin, place: Place::Nowhere, is_sample }
    }

    #[test]
    fn a_file_with_secrets_is_for_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("witch.toml");
        fs::write(&file, "").unwrap();
        let is_roots = fs::metadata(&file).unwrap().uid() == 0;
        for (mode, is_taken) in
            [(0o600, true), (0o400, true), (0o640, is_roots), (0o660, false), (0o644, false), (0o604, false), (0o620, false)]
        {
            fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
            for origin in [Origin::File, Origin::Named(file.clone())] {
                let faults = find(&[kept(origin, false)], &file);
                assert_eq!(faults.is_empty(), is_taken, "{mode:o} {faults:?}");
                assert!(faults.iter().all(|fault| fault.fix.contains("chmod 600") && fault.fix.contains("chown root:")));
            }
        }
        assert!(find(&[kept(Origin::Variable, false)], &file).is_empty(), "it holds none");
    }

    #[test]
    fn samples_are_no_secrets() {
        for sample in ["replace-this-by-a-secret-of-your-own", "replace this", "replace this, too", "Replace this"] {
            assert!(is_sample(sample), "{sample}");
        }
        assert!(!is_sample("9f86d081884c7d659a2feaa0c55ad015"));
        assert_eq!(find(&[kept(Origin::Variable, true)], Path::new("/nonexistent")).len(), 1);
    }
}
