//! How texts stand in what `save` gives: two bytes of length, then the text.

use packhorse_codec::{Fault, Reader, Writer};

/// Texts that are kept were found to be short when they came; a longer one would be saved as none.
pub(crate) fn save_text(state: &mut Writer, text: &str) {
    let length = u16::try_from(text.len()).unwrap_or_default();
    state.u16_be(length);
    state.slice(&text.as_bytes()[..usize::from(length)]);
}

pub(crate) fn restore_text(state: &mut Reader<'_>, what: &'static str) -> Result<String, Fault> {
    Ok(String::from_utf8_lossy(state.prefixed_u16_be(what)?).into_owned())
}

/// A text that is repeated or kept: at most so long, and without what would have to be escaped.
pub(crate) fn plain<'t>(what: &str, text: &'t str, most: usize) -> Result<&'t str, Fault> {
    if text.len() > most {
        return Err(Fault::malformed(format!("{what} has {} bytes, more than {most}", text.len())));
    }
    if text.chars().any(|character| character.is_control() || matches!(character, '"' | '\\')) {
        return Err(Fault::malformed(format!("{what} holds control characters, quotation marks or backslashes")));
    }
    Ok(text)
}
