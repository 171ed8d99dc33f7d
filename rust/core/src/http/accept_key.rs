//! The proof that a server understood the upgrade (RFC 6455 section 4.2.2, item 5.4).

use data_encoding::BASE64;
use ring::digest;

/// Returns a new `Sec-WebSocket-Key`: 16 random bytes.
pub(super) fn generate_key() -> String {
    BASE64.encode(&rand::random::<[u8; 16]>())
}

/// Returns the `Sec-WebSocket-Accept` that answers a key.
pub(super) fn derive_accept_key(key: &str) -> String {
    // The key only proves that the other side speaks WebSocket, so SHA-1 is good enough.
    let mut hash = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    hash.update(key.as_bytes());
    hash.update(GUID);
    BASE64.encode(hash.finish().as_ref())
}

const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_answered_as_the_protocol_says() {
        assert_eq!(derive_accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let key = generate_key();
        assert_eq!(BASE64.decode(key.as_bytes()).map(|bytes| bytes.len()), Ok(16));
        assert_ne!(key, generate_key());
        assert_eq!(derive_accept_key(&key), tungstenite::handshake::derive_accept_key(key.as_bytes()));
    }
}
