//! The places where unsafe code may be. The lints deny it everywhere else; this test fails if one more place allows it.

use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::files;

/// Lines of code with `unsafe` in them, and the files they are in.
fn unsafe_lines(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for path in files::with_ending(folder, "rs").expect("a folder of sources") {
        let text = fs::read_to_string(&path).expect("sources are UTF-8");
        let code = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("#["))
            .map(|line| line.split("//").next().unwrap_or_default());
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let is_unsafe = |line: &&str| line.split(|c| !is_word(c)).any(|word| word == KEYWORD);
        found.extend(code.filter(is_unsafe).map(|line| (path.clone(), line.trim().to_owned())));
    }
    found
}

fn is_allowed(file: &str, line: &str) -> bool {
    match file {
        // The last one is a benchmark's reference, and never shipped.
        "extension/src/raw.rs"
        | "extension/src/border/engine.rs"
        | "extension/src/border/hooks.rs"
        | "extension/src/border/methods.rs"
        | "extension/src/border/default_result.rs"
        | "null_peer/src/lib.rs" => true,
        // An extension's entry point, and its trait.
        "extension/src/entry.rs" => {
            ["impl ExtensionLibrary", "fn websocket_multiplayer_init(", "websocket_multiplayer_bindings("]
                .iter()
                .any(|allowed| line.contains(allowed))
        }
        // The virtuals that take pointers only pass them to raw.rs.
        "extension/src/virtuals.rs" | "extension/src/classes/peer.rs" => [
            "fn get_packet_rawptr",
            "fn put_packet_rawptr",
            "raw::return_packet(",
            "raw::packet_from_engine(",
        ]
        .iter()
        .any(|allowed| line.contains(allowed)),
        _ => false,
    }
}

/// Written so that this file does not find itself.
const KEYWORD: &str = concat!("un", "safe");

#[test]
fn pointers_are_touched_in_few_files() {
    let rust = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is in the folder of all crates");
    let found = unsafe_lines(rust);
    let in_raw = found.iter().filter(|(path, _)| path.ends_with("raw.rs")).count();
    assert!(in_raw > 0, "nothing was found where there is some");
    for (path, line) in found {
        let file = path.strip_prefix(rust).expect("it is in there").to_string_lossy().replace('\\', "/");
        assert!(is_allowed(&file, &line), "{file}: {line}");
    }
}
