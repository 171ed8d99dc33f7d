//! The functions that the fuzz targets in `fuzz/` call: each takes arbitrary bytes, and panics if an invariant is violated.
//!
//! Not part of the public interface: it exists under `cfg(fuzzing)`, and in tests, which replay the committed seeds.

#![cfg_attr(not(fuzzing), allow(unreachable_pub, reason = "public under cfg(fuzzing) only"))]

mod access;
mod deflate;
mod frames;
mod lists;
mod model;
mod scripted;
mod sessions;
mod upgrades;
mod urls;
mod wires;

pub use access::access;
pub use deflate::deflate;
pub use frames::frames;
pub use sessions::{client, server};
pub use upgrades::{request, response};
pub use urls::url;
pub use wires::wires;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Replays each seed, complete and cut off at every third byte.
    fn replay(target: &str, run: fn(&[u8])) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut seeds = 0;
        for entry in entries {
            let bytes = fs::read(entry.expect("an entry").path()).expect("a seed can be read");
            run(&bytes);
            for len in (0..bytes.len().min(600)).step_by(3) {
                run(&bytes[..len]);
            }
            seeds += 1;
        }
        assert!(seeds > 0, "{target} has seeds");
    }

    #[test]
    fn requests() {
        replay("request", request);
    }

    #[test]
    fn responses() {
        replay("response", response);
    }

    #[test]
    fn servers() {
        replay("server", server);
    }

    #[test]
    fn clients() {
        replay("client", client);
    }

    #[test]
    fn frames_of_both() {
        replay("frames", frames);
    }

    #[test]
    fn compressed_messages() {
        replay("deflate", deflate);
    }

    #[test]
    fn both_wires() {
        replay("wires", wires);
    }

    #[test]
    fn access_policy() {
        replay("access", access);
    }

    #[test]
    fn urls() {
        replay("url", url);
    }
}
