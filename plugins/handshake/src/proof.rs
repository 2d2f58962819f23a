//! HMAC-SHA256 (RFC 2104) in its three uses: the answer to a challenge, the session key, the device's own proof.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// What both sides know and nobody sends.
pub(crate) struct Secret(Vec<u8>);

/// A session's key.
pub(crate) struct Session([u8; 32]);

impl Secret {
    /// From hex; nothing where it is none, or empty.
    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        bytes(text.trim()).filter(|bytes| !bytes.is_empty()).map(Self)
    }

    /// The answer to a challenge, for one run: recorded, it is of no use to another.
    pub(crate) fn proof(&self, challenge: &[u8], run: &str) -> [u8; 32] {
        mac(&self.0, &[b"proof", challenge, run.as_bytes()])
    }

    /// The session that a challenge opens.
    pub(crate) fn session(&self, challenge: &[u8]) -> Session {
        Session(mac(&self.0, &[b"session", challenge]))
    }
}

impl Session {
    /// Its key.
    pub(crate) fn key(&self) -> &[u8] {
        &self.0
    }

    /// Whether a device that says this knows the key; compared in constant time.
    pub(crate) fn confirms(&self, check: &str) -> bool {
        let mut mac = keyed(&self.0);
        mac.update(b"device");
        bytes(check).is_some_and(|check| mac.verify_slice(&check).is_ok())
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length")
}

/// Parts have lengths before them, so that no two lists of parts are one text.
fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = keyed(key);
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// From hex in either case.
pub(crate) fn bytes(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mac_is_that_of_rfc_4231() {
        // Test case 2 of RFC 4231.
        let mut mac = keyed(b"Jefe");
        mac.update(b"what do ya want for nothing?");
        let wanted = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(hex(&mac.finalize().into_bytes()), wanted);
    }

    #[test]
    fn a_proof_is_of_one_challenge_and_one_run() {
        let secret = Secret::from_hex("00ff10").unwrap();
        let proof = secret.proof(b"challenge", "run_1");
        assert_ne!(proof, secret.proof(b"challenge", "run_2"));
        assert_ne!(proof, secret.proof(b"challengd", "run_1"));
        assert_ne!(secret.proof(b"ab", "c"), secret.proof(b"a", "bc"));
    }

    #[test]
    fn only_who_knows_the_key_confirms() {
        let session = Secret::from_hex("aa").unwrap().session(b"challenge");
        let mut mac = keyed(session.key());
        mac.update(b"device");
        assert!(session.confirms(&hex(&mac.finalize().into_bytes())));
        for wrong in ["", "00", "zz", &"0".repeat(64)] {
            assert!(!session.confirms(wrong));
        }
    }

    #[test]
    fn hex_is_read_or_refused() {
        assert_eq!(bytes("0AfF"), Some(vec![10, 255]));
        for bad in ["0", "0g", "é0", "+1"] {
            assert_eq!(bytes(bad), None, "{bad}");
        }
        assert!(Secret::from_hex("").is_none());
    }
}
