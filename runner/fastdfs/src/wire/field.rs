//! Reading and writing fixed fields: a cursor that never reads past what is there.

use super::WireError;

/// Walks through a body.
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
    what: &'static str,
    whole: usize,
}

impl<'a> Fields<'a> {
    pub(crate) fn of(what: &'static str, body: &'a [u8]) -> Self {
        Self { rest: body, what, whole: body.len() }
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) =
            self.rest.split_at_checked(count).ok_or_else(|| WireError::length(self.what, self.whole))?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, WireError> {
        Ok(self.take(1)?[0])
    }

    /// An unsigned number in a signed field: negative ones are refused.
    pub(crate) fn number(&mut self) -> Result<u64, WireError> {
        u64::try_from(self.signed()?).map_err(|_| WireError::Number { what: self.what })
    }

    pub(crate) fn signed(&mut self) -> Result<i64, WireError> {
        let bytes = self.take(8)?.try_into().expect("eight bytes were taken");
        Ok(i64::from_be_bytes(bytes))
    }

    /// One of the few numbers that have four bytes.
    pub(crate) fn count(&mut self) -> Result<u32, WireError> {
        Ok(u32::from_be_bytes(self.take(4)?.try_into().expect("four bytes were taken")))
    }

    /// Text up to the first NUL of a fixed field; what follows the NUL is ignored.
    pub(crate) fn text(&mut self, width: usize) -> Result<&'a str, WireError> {
        let what = self.what;
        str::from_utf8(until_nul(self.take(width)?)).map_err(|_| WireError::Text { what })
    }

    pub(crate) fn rest(self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn end(self) -> Result<(), WireError> {
        if self.rest.is_empty() { Ok(()) } else { Err(WireError::length(self.what, self.whole)) }
    }
}

pub(crate) fn until_nul(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    &field[..end]
}

pub(crate) fn put_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_be_bytes());
}

/// Writes text into a fixed field, filled with NUL; longer text is cut.
pub(crate) fn put_text(out: &mut Vec<u8>, text: &str, width: usize) {
    let text = &text.as_bytes()[..text.len().min(width)];
    out.extend_from_slice(text);
    out.resize(out.len() + width - text.len(), 0);
}
