//! Checksums as ThingsBoard spells them: a name of its own and hexadecimal digits.

use packhorse_codec::{Algorithm, Digest, Fault, File, Text, hex};

/// One algorithm on the wire.
struct Spelling {
    name: &'static str,
    algorithm: Algorithm,
    bytes: usize,
    /// ThingsBoard prints these with Guava, least significant byte first; the contract's bytes are the number's, most significant
    /// first. For MURMUR3_128 the number is `h2 << 64 | h1`, as `hash128` of Python's `mmh3` gives it.
    reversed: bool,
}

/// The strongest first.
const SPELLINGS: [Spelling; 7] = [
    spelling("SHA256", Algorithm::Sha256, 32, false),
    spelling("SHA512", Algorithm::Sha512, 64, false),
    spelling("SHA384", Algorithm::Sha384, 48, false),
    spelling("MD5", Algorithm::Md5, 16, false),
    spelling("MURMUR3_128", Algorithm::Murmur3X64128, 16, true),
    spelling("MURMUR3_32", Algorithm::Murmur3X8632, 4, true),
    spelling("CRC32", Algorithm::Crc32, 4, true),
];

const fn spelling(name: &'static str, algorithm: Algorithm, bytes: usize, reversed: bool) -> Spelling {
    Spelling { name, algorithm, bytes, reversed }
}

/// The digest of `file` that is told: the one that `wanted` names, the first that is known for `auto`.
pub(crate) fn choose(file: &File, wanted: &str) -> Result<Digest, Text> {
    let mut known =
        SPELLINGS.iter().filter(|spelling| wanted == "auto" || spelling.name == wanted).filter_map(known(file));
    known.next().ok_or_else(|| {
        let which = if wanted == "auto" { "a checksum" } else { wanted };
        Text::new("no-checksum", format!("the devices need {which} of the file, and it is not known"))
    })
}

fn known(file: &File) -> impl Fn(&Spelling) -> Option<Digest> {
    move |spelling| {
        let value = file.digest(spelling.algorithm).filter(|value| value.len() == spelling.bytes)?;
        Some(Digest::new(spelling.algorithm, value))
    }
}

/// Name and digits.
pub(crate) fn write(digest: &Digest) -> Option<(&'static str, String)> {
    let spelling = SPELLINGS.iter().find(|spelling| spelling.algorithm == digest.algorithm)?;
    Some((spelling.name, hex::encode(&spelling.turned(digest.value.clone()))))
}

/// Name (case and punctuation do not matter, none is SHA256) and digits.
pub(crate) fn read(name: &str, digits: &str) -> Result<Digest, Fault> {
    let name = if name.is_empty() { "SHA256" } else { name };
    let spelling = SPELLINGS.iter().find(|spelling| letters(spelling.name).eq(letters(name)));
    let spelling = spelling.ok_or_else(|| Fault::malformed(format!("the checksum algorithm {name:?} is not known")))?;
    let value = hex::decode(digits.trim().as_bytes())?;
    if value.len() != spelling.bytes {
        return Err(Fault::malformed(format!("a {} has {} bytes, not {}", spelling.name, spelling.bytes, value.len())));
    }
    Ok(Digest::new(spelling.algorithm, spelling.turned(value)))
}

fn letters(name: &str) -> impl Iterator<Item = char> {
    name.chars().filter(|letter| letter.is_ascii_alphanumeric()).map(|letter| letter.to_ascii_uppercase())
}

impl Spelling {
    fn turned(&self, mut value: Vec<u8>) -> Vec<u8> {
        if self.reversed {
            value.reverse();
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the five letters `hello`, as Guava prints them.
    #[test]
    fn digits_of_numbers_begin_with_the_least_significant_byte() {
        for (name, digits, algorithm, number) in [
            ("CRC32", "86a61036", Algorithm::Crc32, "3610a686"),
            ("MURMUR3_32", "47fa8b24", Algorithm::Murmur3X8632, "248bfa47"),
            (
                "MURMUR3_128",
                "029bbd41b3a7d8cb191dae486a901e5b",
                Algorithm::Murmur3X64128,
                "5b1e906a48ae1d19cbd8a7b341bd9b02",
            ),
            ("MD5", "5d41402abc4b2a76b9719d911017c592", Algorithm::Md5, "5d41402abc4b2a76b9719d911017c592"),
        ] {
            let digest = Digest::new(algorithm, hex::decode(number.as_bytes()).unwrap());
            assert_eq!(write(&digest), Some((name, digits.to_owned())));
            assert_eq!(read(name, digits), Ok(digest));
        }
    }

    #[test]
    fn names_and_digits_are_taken_leniently() {
        let digits = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        let digest = read("SHA256", digits);
        for (name, digits) in
            [("", digits), ("sha-256", digits), ("Sha256", &digits.to_uppercase()), ("SHA256", &format!(" {digits}\n"))]
        {
            assert_eq!(read(name, digits), digest, "{name:?} {digits:?}");
        }
        assert!(read("SHA1", digits).is_err() && read("SHA256", &digits[2..]).is_err() && read("SHA256", "x").is_err());
    }

    #[test]
    fn the_strongest_known_is_told_unless_one_is_wanted() {
        let digests = vec![
            Digest::new(Algorithm::Md5, [1; 16]),
            Digest::new(Algorithm::Sha512, [2; 64]),
            Digest::new(Algorithm::Sha256, [3; 31]),
        ];
        let file = File { digests, ..File::unknown() };
        assert_eq!(choose(&file, "auto").unwrap().algorithm, Algorithm::Sha512);
        assert_eq!(choose(&file, "MD5").unwrap().value, [1; 16]);
        assert_eq!(choose(&file, "SHA256").unwrap_err().code, "no-checksum");
    }
}
