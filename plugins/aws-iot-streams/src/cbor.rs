//! CBOR (RFC 8949), as far as stream messages need it: a reader of one map that takes definite and indefinite lengths, and a writer
//! that ends its map with a break, as AWS does.

use std::borrow::Cow;

use packhorse_codec::{Fault, Reader};

/// What stands behind a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item<'a> {
    Number(u64),
    Bytes(Cow<'a, [u8]>),
    Text(Cow<'a, [u8]>),
    /// `null` or `undefined`: counts as absent.
    Null,
    /// Read over: negative and broken numbers, booleans, lists, maps.
    Other,
}

/// Members of one map, and items within what is read over: a message of this protocol has fewer.
const ITEMS_MOST: usize = 1024;
const DEPTH_MOST: u8 = 16;
/// Additional information of a head that says "of indefinite length", and the break that ends such an item.
const INDEFINITE: u8 = 31;
const BREAK: u8 = 0xff;

/// Reads a map, and calls `member` with each key and item. Keys that are no text are read over; nothing may follow but zero bytes.
pub(crate) fn read<'a>(payload: &'a [u8], mut member: impl FnMut(&[u8], Item<'a>)) -> Result<(), Fault> {
    let mut cursor = Cursor { reader: Reader::new(payload), left: ITEMS_MOST };
    let (major, info) = cursor.head()?;
    if major != 5 {
        return Err(Fault::malformed(format!("not CBOR: no map, but major type {major}")));
    }
    let mut count = cursor.count(info)?;
    while cursor.goes_on(&mut count)? {
        let key = cursor.item(0)?;
        let value = cursor.item(0)?;
        if let Item::Text(key) | Item::Bytes(key) = key {
            member(&key, value);
        }
    }
    match cursor.reader.rest().iter().all(|byte| *byte == 0) {
        true => Ok(()),
        false => Err(Fault::malformed("not CBOR: something follows the map")),
    }
}

struct Cursor<'a> {
    reader: Reader<'a>,
    left: usize,
}

impl<'a> Cursor<'a> {
    /// Major type and additional information.
    fn head(&mut self) -> Result<(u8, u8), Fault> {
        self.left =
            self.left.checked_sub(1).ok_or_else(|| Fault::malformed("CBOR of more items than a message has"))?;
        let head = self.reader.u8("CBOR head")?;
        Ok((head >> 5, head & 31))
    }

    fn argument(&mut self, info: u8) -> Result<u64, Fault> {
        Ok(match info {
            0..24 => info.into(),
            24 => self.reader.u8("CBOR number")?.into(),
            25 => self.reader.u16_be("CBOR number")?.into(),
            26 => self.reader.u32_be("CBOR number")?.into(),
            27 => self.reader.u64_be("CBOR number")?,
            _ => return Err(Fault::malformed(format!("not CBOR: a head with {info}"))),
        })
    }

    /// Items of a list or pairs of a map; `None` where a break ends them.
    fn count(&mut self, info: u8) -> Result<Option<u64>, Fault> {
        if info == INDEFINITE { Ok(None) } else { self.argument(info).map(Some) }
    }

    fn goes_on(&mut self, count: &mut Option<u64>) -> Result<bool, Fault> {
        match count {
            Some(0) => Ok(false),
            Some(left) => {
                *left -= 1;
                Ok(true)
            }
            None => Ok(!self.take_break()?),
        }
    }

    fn take_break(&mut self) -> Result<bool, Fault> {
        let mut ahead = self.reader.clone();
        let is_break = ahead.u8("CBOR item or break")? == BREAK;
        if is_break {
            self.reader = ahead;
        }
        Ok(is_break)
    }

    fn item(&mut self, depth: u8) -> Result<Item<'a>, Fault> {
        if depth > DEPTH_MOST {
            return Err(Fault::malformed("CBOR is nested too deep"));
        }
        let (major, info) = self.head()?;
        match major {
            0 => self.argument(info).map(Item::Number),
            1 => self.argument(info).map(|_| Item::Other),
            2 => self.string(2, info).map(Item::Bytes),
            3 => self.string(3, info).map(Item::Text),
            4 | 5 => self.skip(major, info, depth),
            6 => {
                self.argument(info)?;
                self.item(depth + 1)
            }
            _ => self.simple(info),
        }
    }

    /// A string, its pieces joined where its length is indefinite.
    fn string(&mut self, major: u8, info: u8) -> Result<Cow<'a, [u8]>, Fault> {
        if info != INDEFINITE {
            return self.piece(info).map(Cow::Borrowed);
        }
        let mut joined = Vec::new();
        while !self.take_break()? {
            let (kind, info) = self.head()?;
            if kind != major || info == INDEFINITE {
                return Err(Fault::malformed("not CBOR: a string of something else than pieces"));
            }
            joined.extend_from_slice(self.piece(info)?);
        }
        Ok(Cow::Owned(joined))
    }

    fn piece(&mut self, info: u8) -> Result<&'a [u8], Fault> {
        let length = self.argument(info)?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        Ok(self.reader.slice("CBOR string", length)?)
    }

    fn skip(&mut self, major: u8, info: u8, depth: u8) -> Result<Item<'a>, Fault> {
        let mut count = self.count(info)?;
        while self.goes_on(&mut count)? {
            self.item(depth + 1)?;
            if major == 5 {
                self.item(depth + 1)?;
            }
        }
        Ok(Item::Other)
    }

    fn simple(&mut self, info: u8) -> Result<Item<'a>, Fault> {
        match info {
            22 | 23 => Ok(Item::Null),
            0..=27 => self.argument(info).map(|_| Item::Other),
            _ => Err(Fault::malformed(format!("not CBOR: a head with {info}"))),
        }
    }
}

/// Builds a map of indefinite length.
#[derive(Debug)]
pub(crate) struct MapWriter(Vec<u8>);

impl MapWriter {
    /// Exact is best: the host takes the message without a copy then.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(capacity);
        bytes.push(5 << 5 | INDEFINITE);
        Self(bytes)
    }

    pub(crate) fn number(&mut self, key: &str, value: u64) {
        self.key(key);
        self.head(0, value);
    }

    pub(crate) fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        self.string(3, value.as_bytes());
    }

    pub(crate) fn bytes(&mut self, key: &str, value: &[u8]) {
        self.key(key);
        self.string(2, value);
    }

    /// A list of one map.
    pub(crate) fn list_of_one(&mut self, key: &str, fill: impl FnOnce(&mut Self)) {
        self.key(key);
        self.head(4, 1);
        self.0.push(5 << 5 | INDEFINITE);
        fill(self);
        self.0.push(BREAK);
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.0.push(BREAK);
        self.0
    }

    fn key(&mut self, key: &str) {
        self.string(3, key.as_bytes());
    }

    fn string(&mut self, major: u8, value: &[u8]) {
        self.head(major, value.len() as u64);
        self.0.extend_from_slice(value);
    }

    fn head(&mut self, major: u8, value: u64) {
        let major = major << 5;
        match value {
            0..24 => self.0.push(major | value as u8),
            24..0x100 => self.0.extend_from_slice(&[major | 24, value as u8]),
            0x100..0x1_0000 => self.long(major | 25, &(value as u16).to_be_bytes()),
            0x1_0000..0x1_0000_0000 => self.long(major | 26, &(value as u32).to_be_bytes()),
            _ => self.long(major | 27, &value.to_be_bytes()),
        }
    }

    fn long(&mut self, head: u8, value: &[u8]) {
        self.0.push(head);
        self.0.extend_from_slice(value);
    }
}

/// How many bytes the head of a number or of a length takes.
pub(crate) const fn head_length(value: u64) -> usize {
    match value {
        0..24 => 1,
        24..0x100 => 2,
        0x100..0x1_0000 => 3,
        0x1_0000..0x1_0000_0000 => 5,
        _ => 9,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use packhorse_codec::hex;

    fn all(digits: &str) -> Result<Vec<(String, Item<'static>)>, String> {
        let bytes: &'static [u8] = hex::decode(digits.as_bytes()).unwrap().leak();
        let mut found = Vec::new();
        read(bytes, |key, item| found.push((String::from_utf8_lossy(key).into_owned(), item)))
            .map_err(|fault| format!("{fault:?}"))?;
        Ok(found)
    }

    #[test]
    fn numbers_are_those_of_rfc_8949_appendix_a() {
        for (digits, value) in [
            ("00", 0),
            ("17", 23),
            ("1818", 24),
            ("1864", 100),
            ("1903e8", 1000),
            ("1a000f4240", 1_000_000),
            ("1b000000e8d4a51000", 1_000_000_000_000),
            ("1bffffffffffffffff", u64::MAX),
        ] {
            let mut map = MapWriter::with_capacity(0);
            map.number("f", value);
            assert_eq!(hex::encode(&map.finish()), format!("bf6166{digits}ff"));
            assert_eq!(all(&format!("a16166{digits}")).unwrap(), [("f".to_owned(), Item::Number(value))]);
            assert_eq!(head_length(value), digits.len() / 2);
        }
    }

    #[test]
    fn definite_and_indefinite_lengths_mean_the_same() {
        let meant = vec![("c".to_owned(), Item::Text(b"streaming"[..].into())), ("f".to_owned(), Item::Number(0))];
        for digits in [
            "a2 6163 69 73747265616d696e67 6166 00",
            "bf 6163 69 73747265616d696e67 6166 00 ff",
            "bf 6163 7f 65 7374726561 64 6d696e67 ff 6166 00 ff",
            "b90002 6163 7809 73747265616d696e67 6166 1800",
            "a2 4163 69 73747265616d696e67 6166 c1 00 000000",
        ] {
            assert_eq!(all(&digits.replace(' ', "")).unwrap(), meant, "{digits}");
        }
    }

    #[test]
    fn what_means_nothing_here_is_read_over() {
        let digits = "a7 6161 20 6162 f5 6163 f6 6164 83 01 a1 6178 9f 02 ff f6 6165 fb3ff199999999999a 01 02 6166 05";
        let found = all(&digits.replace(' ', "")).unwrap();
        let keys: Vec<&str> = found.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["a", "b", "c", "d", "e", "f"]);
        assert_eq!(found[2].1, Item::Null);
        assert_eq!(found[5].1, Item::Number(5));
    }

    #[test]
    fn says_what_is_wrong() {
        for (digits, words) in [
            ("", "CBOR head at byte 0"),
            ("83010203", "no map, but major type 4"),
            ("a1616600ff", "something follows the map"),
            ("a16166", "CBOR head at byte 3"),
            ("bf616600", "item or break at byte 4"),
            ("a161665affffffff00", "wanted 4294967295 bytes"),
            ("a161661c", "a head with 28"),
            ("a161667f6101420000ff", "something else than pieces"),
            ("a16166ff", "a head with 31"),
        ] {
            let error = all(digits).unwrap_err();
            assert!(error.contains(words), "{digits}: {error}");
        }
        let deep = format!("a16166{}00", "81".repeat(40));
        assert!(all(&deep).unwrap_err().contains("nested too deep"));
        let wide = format!("a161669b000000ffffffffff{}", "00".repeat(4000));
        assert!(all(&wide).unwrap_err().contains("more items"));
    }
}
