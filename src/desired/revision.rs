//! The revision of an object: what its processes are started from, as a keyed hash.
//!
//! In: the fields that matter to a process, as the kind lists them, and the key of the home. Out: `VERSION:HASH`.
//! Not here: which fields those are. The surprise: the hash is keyed, because it stands in `ps` for everybody to read
//! and an environment value must not be guessable from it.

use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::engine::Revision;
use crate::home::{Key, hex};

/// The rule this binary hashes new processes by. Older rules stay here for as long as a process may carry them.
pub const VERSION: u32 = 1;

/// The revision by every rule this binary knows, newest first.
#[must_use]
pub fn revisions(key: &Key, kind: &str, input: &str) -> Vec<Revision> {
    vec![version_1(key, kind, input)]
}

/// HMAC-SHA256 over the kind in lower case, a zero byte, and the input; the first 8 bytes in hex.
fn version_1(key: &Key, kind: &str, input: &str) -> Revision {
    let mut block = [0; 64];
    // A key of this program has 32 bytes; HMAC pads with zeros to its block, and so does this.
    for (place, byte) in block.iter_mut().zip(key.bytes()) {
        *place = *byte;
    }
    let mut mac = Hmac::<Sha256>::new(&block.into());
    mac.update(kind.as_bytes());
    mac.update(&[0]);
    mac.update(input.as_bytes());
    let hash = mac.finalize().into_bytes();
    Revision { version: VERSION, hash: hex(&hash[..8]).into() }
}
