//! The text of a workflow file with positions: characters counted once, so that every later question is cheap.

/// A range of characters of the file, half-open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Span {
    /// Index of the first character, from 0.
    pub start: u32,
    /// Index of the character after the last.
    pub end: u32,
}

impl Span {
    /// The characters from `start` up to, not including, `end`; at least the one at `start`.
    pub const fn new(start: usize, end: usize) -> Self {
        let end = if end > start { end } else { start + 1 };
        Self { start: start as u32, end: end as u32 }
    }
}

/// Line and column, both from 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
}

/// A file's text and where its lines begin.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// As the user named it.
    pub(crate) name: String,
    text: String,
    lines: Vec<u32>,
    bytes: Option<Vec<u32>>,
}

impl Source {
    /// Takes a text that is at most 4 GiB long.
    pub(crate) fn new(name: &str, text: String) -> Self {
        let mut lines = vec![0];
        lines.extend((1u32..).zip(text.chars()).filter(|(_, letter)| *letter == '\n').map(|(index, _)| index));
        let bytes = (!text.is_ascii()).then(|| text.char_indices().map(|(byte, _)| byte as u32).collect());
        Self { name: name.to_owned(), text, lines, bytes }
    }

    /// The whole text.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Where a character stands; one past the end is allowed.
    pub(crate) fn position(&self, index: u32) -> Position {
        let line = self.lines.partition_point(|start| *start <= index);
        let column = index - self.lines[line - 1];
        Position { line, column: column as usize + 1 }
    }

    /// A line by its number, from 1, without its end; empty where there is none.
    pub(crate) fn line(&self, number: usize) -> &str {
        let Some(start) = number.checked_sub(1).and_then(|index| self.lines.get(index)) else { return "" };
        let rest = &self.text[self.byte(*start)..];
        rest.split('\n').next().unwrap_or_default().trim_end_matches('\r')
    }

    /// The characters of a span.
    pub(crate) fn slice(&self, span: Span) -> &str {
        let (start, end) = (self.byte(span.start), self.byte(span.end));
        &self.text[start..end.max(start)]
    }

    /// Looks for `needle` within `span` and gives its place as a span.
    pub(crate) fn find(&self, needle: &str, span: Span) -> Option<Span> {
        let haystack = self.slice(span);
        let byte = haystack.find(needle)?;
        let before = haystack[..byte].chars().count();
        let start = span.start as usize + before;
        Some(Span::new(start, start + needle.chars().count()))
    }

    fn byte(&self, index: u32) -> usize {
        match &self.bytes {
            None => (index as usize).min(self.text.len()),
            Some(bytes) => bytes.get(index as usize).map_or(self.text.len(), |byte| *byte as usize),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Position, Source, Span};

    #[test]
    fn positions_count_characters_not_bytes() {
        let source = Source::new("a.yaml", "ä: ö\nü: x\n".to_owned());
        assert_eq!(source.position(5), Position { line: 2, column: 1 });
        assert_eq!(source.line(2), "ü: x");
        assert_eq!(source.slice(Span::new(5, 9)), "ü: x");
        assert_eq!(source.find("x", Span::new(0, 9)), Some(Span::new(8, 9)));
        assert_eq!(source.position(10), Position { line: 3, column: 1 });
        assert_eq!(source.line(3), "");
        assert_eq!(source.line(99), "");
    }
}
