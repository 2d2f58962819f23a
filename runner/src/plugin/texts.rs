//! Texts of guests as they may stand in logs and on terminals.

use super::MAX_LAST_WORDS_BYTES;

/// A guest's last words.
pub(crate) fn last_words(words: String) -> String {
    cut(words, MAX_LAST_WORDS_BYTES)
}

/// At most `limit` bytes, whole characters, and no control characters.
pub(crate) fn cut(mut text: String, limit: usize) -> String {
    text.truncate(text.floor_char_boundary(limit));
    if text.contains(char::is_control) {
        return text.replace(char::is_control, " ");
    }
    text
}
