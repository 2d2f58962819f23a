//! Which blocks of a file a request means: an offset with a count, or an offset with a bitmap.

use packhorse_codec::Span;

use crate::describe::{BLOCK_LEAST, BLOCK_MOST};
use crate::fields::Fields;
use crate::stream::Rejection;

/// The highest block at which a request may begin, and the bytes that a bitmap has less than.
const OFFSET_MOST: u64 = 98_304;
const BITMAP_LESS_THAN: usize = 12_288;

/// What the C library `aws-iot-core-mqtt-file-streams` sends as its bitmap, whatever it wants: the text of a Base64 value.
const NOT_A_BITMAP: &[u8] = b"MQ==";

/// A request that can be answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Blocks {
    /// Bytes of a block: all but the file's last have so many.
    pub(crate) size: u64,
    /// Runs of blocks, as bytes of the file.
    pub(crate) spans: Vec<Span>,
}

impl Blocks {
    /// Reads a request of a file of so many bytes. What lies past its end is left out.
    pub(crate) fn read(fields: &Fields<'_>, file_size: u64) -> Result<Self, Rejection> {
        let size = fields.required("l").map_err(Rejection::request)?;
        if !(BLOCK_LEAST..=BLOCK_MOST).contains(&size) {
            return Err(Rejection::new("BlockSizeOutOfBounds", format!("l is {size}")));
        }
        let first = fields.number("o").map_err(Rejection::request)?.unwrap_or_default();
        if first > OFFSET_MOST {
            return Err(Rejection::new("OffsetOutOfBounds", format!("o is {first}")));
        }
        let most = BLOCK_MOST / size;
        let count = fields.number("n").map_err(Rejection::request)?;
        if count.is_some_and(|count| count > most) {
            let words = format!("n is {}; a request brings {BLOCK_MOST} bytes at most", count.unwrap_or_default());
            return Err(Rejection::new("BlockCountLimitExceeded", words));
        }
        let bitmap = fields.bitmap("b").map_err(Rejection::request)?;
        let bitmap = bitmap.filter(|bitmap| !(count.is_some() && **bitmap == *NOT_A_BITMAP));
        if bitmap.as_ref().is_some_and(|bitmap| bitmap.len() >= BITMAP_LESS_THAN) {
            return Err(Rejection::new("BlockBitmapLimitExceeded", format!("b has {BITMAP_LESS_THAN} bytes or more")));
        }
        let limit = count.unwrap_or(most);
        let spans = match &bitmap {
            Some(bitmap) => runs(first, bitmap, limit, size, file_size),
            None => run(first, limit, size, file_size).into_iter().collect(),
        };
        match (spans.is_empty(), asks_nothing(bitmap.as_deref(), limit)) {
            (false, _) => Ok(Self { size, spans }),
            (true, true) => Err(Rejection::new("InvalidRequest", "no block is asked for")),
            (true, false) => {
                Err(Rejection::new("OffsetOutOfBounds", format!("past the {file_size} bytes of the file")))
            }
        }
    }
}

fn asks_nothing(bitmap: Option<&[u8]>, limit: u64) -> bool {
    limit == 0 || bitmap.is_some_and(|bitmap| bitmap.iter().all(|byte| *byte == 0))
}

/// The bytes of `count` blocks from `first` on, cut at the end of the file. An empty file has one block, an empty one.
fn run(first: u64, count: u64, size: u64, file_size: u64) -> Option<Span> {
    let start = first * size;
    let there = start < file_size || (start == 0 && file_size == 0);
    (there && count > 0).then(|| Span::new(start, (start + count * size).min(file_size)))
}

/// Bit `k` of byte `j`, the lowest first, stands for block `first + 8 j + k`. Neighbours become one run.
fn runs(first: u64, bitmap: &[u8], limit: u64, size: u64, file_size: u64) -> Vec<Span> {
    let bit = |at: &u64| bitmap.get((at / 8) as usize).is_some_and(|byte| byte >> (at % 8) & 1 == 1);
    let wanted = (0..bitmap.len() as u64 * 8).filter(bit).take(limit as usize);
    let mut spans: Vec<Span> = Vec::new();
    for block in wanted {
        let Some(span) = run(first + block, 1, size, file_size) else { break };
        match spans.last_mut() {
            Some(last) if last.end == span.start => last.end = span.end,
            _ => spans.push(span),
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::Format;

    fn read(text: &str, file_size: u64) -> Result<Vec<(u64, u64)>, &'static str> {
        let fields = Fields::read(Format::Json, text.as_bytes()).unwrap();
        let blocks = Blocks::read(&fields, file_size).map_err(|rejection| rejection.code)?;
        Ok(blocks.spans.into_iter().map(|span| (span.start, span.end)).collect())
    }

    #[test]
    fn the_bitmap_of_the_developer_guide() {
        // "0x130080": blocks 0, 1, 4 and 23 behind the offset.
        let blocks = read(r#"{"f":0,"l":256,"o":100,"b":"0x130080"}"#, 1 << 20).unwrap();
        assert_eq!(blocks, [(25_600, 26_112), (26_624, 26_880), (31_488, 31_744)]);
    }

    #[test]
    fn a_count_limits_a_bitmap() {
        assert_eq!(read(r#"{"l":256,"b":"ff","n":3}"#, 10_000).unwrap(), [(0, 768)]);
        assert_eq!(read(r#"{"l":65536,"b":"ff"}"#, 1 << 20).unwrap(), [(0, 131_072)], "128 KiB in all");
    }

    #[test]
    fn without_a_bitmap_the_count_says_how_many() {
        assert_eq!(read(r#"{"l":1000,"o":2,"n":3}"#, 10_000).unwrap(), [(2000, 5000)]);
        assert_eq!(read(r#"{"l":1000}"#, 10_000).unwrap(), [(0, 10_000)]);
        assert_eq!(read(r#"{"l":1000,"o":9,"n":3}"#, 9_500).unwrap(), [(9000, 9500)]);
    }

    #[test]
    fn the_bitmap_of_the_c_library_is_none() {
        // 4D 51 3D 3D: the ASCII text MQ==.
        assert_eq!(read(r#"{"l":256,"o":4,"n":2,"b":"4D513D3D"}"#, 10_000).unwrap(), [(1024, 1536)]);
        // Without a count it may be one: bits 0, 2, 3, 6 of 4D, 0, 4, 6 of 51, 0, 2 to 5 of 3D, twice.
        assert_eq!(read(r#"{"l":256,"b":"4d513d3d"}"#, 1_000_000).unwrap().len(), 10);
    }

    #[test]
    fn an_empty_file_has_one_block() {
        assert_eq!(read(r#"{"l":256,"n":1}"#, 0).unwrap(), [(0, 0)]);
        assert_eq!(read(r#"{"l":256,"o":1,"n":1}"#, 0), Err("OffsetOutOfBounds"));
    }

    #[test]
    fn each_limit_has_its_code() {
        for (text, code) in [
            (r#"{"l":255}"#, "BlockSizeOutOfBounds"),
            (r#"{"l":131073}"#, "BlockSizeOutOfBounds"),
            (r#"{"l":256,"o":98305}"#, "OffsetOutOfBounds"),
            (r#"{"l":256,"o":4}"#, "OffsetOutOfBounds"),
            (r#"{"l":256,"o":3,"b":"fe"}"#, "OffsetOutOfBounds"),
            (r#"{"l":256,"n":513}"#, "BlockCountLimitExceeded"),
            (r#"{"l":256,"n":0}"#, "InvalidRequest"),
            (r#"{"l":256,"b":"0000"}"#, "InvalidRequest"),
            (r#"{"l":256,"b":""}"#, "InvalidRequest"),
            (r#"{"l":256,"b":"xyz"}"#, "InvalidRequest"),
            (r#"{"l":256,"b":7}"#, "InvalidRequest"),
            (r#"{"l":"much"}"#, "InvalidRequest"),
            (r#"{"o":0}"#, "InvalidRequest"),
        ] {
            assert_eq!(read(text, 1024), Err(code), "{text}");
        }
        let large = format!(r#"{{"l":256,"b":"{}"}}"#, "00".repeat(12_288));
        assert_eq!(read(&large, 1024), Err("BlockBitmapLimitExceeded"));
    }
}
