//! What must not change unnoticed is written down in a file; `BLESS=1` writes it anew.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use std::path::Path;
use std::{env, fs};

/// Named frames, one a line, in hexadecimal.
pub(crate) fn frames<'a>(frames: impl IntoIterator<Item = (&'a str, Vec<u8>)>) -> String {
    let line = |(name, frame): (&str, Vec<u8>)| {
        let bytes: String = frame.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{name} {bytes}\n")
    };
    frames.into_iter().map(line).collect()
}

/// The file of this crate's sources has to hold this text.
pub(crate) fn must_be(path: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(path);
    if env::var_os("BLESS").is_some() {
        fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("the folder can be made");
        fs::write(&path, text).expect("the file can be written");
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    let changed = text.lines().zip(golden.lines()).find(|(now, then)| now != then);
    let path = path.display();
    assert!(
        golden == text,
        "{path} is not what the code says, first at {changed:?}. If an older peer is to understand this all the same, `BLESS=1`"
    );
}
