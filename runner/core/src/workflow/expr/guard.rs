//! The scan before CEL: limits that keep its parser and evaluator, both recursive, within a known depth of stack.
//!
//! The scan reads strings as CEL's lexer does and refuses what that lexer would read in another way (open strings,
//! unknown escapes), so that nothing deep can hide in what looks like text.

/// Longest expression in bytes.
pub const MAX_BYTES: usize = 1024;
/// Deepest nesting of brackets.
pub const MAX_BRACKETS: usize = 16;
/// Most operators.
pub const MAX_OPERATORS: usize = 64;
/// Most selectors: `.name` and `[index]`.
pub const MAX_SELECTORS: usize = 64;
/// Most comprehension macros (`all exists exists_one map filter`).
pub const MAX_MACROS: usize = 4;
/// Deepest nesting of comprehension macros: each level multiplies the work by the length of a list.
pub const MAX_MACRO_DEPTH: usize = 2;

/// Why an expression is refused before CEL sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Index of the character where it shows.
    pub(crate) at: usize,
    /// In words.
    pub(crate) message: String,
    /// A limit, or text that cannot be read.
    pub(crate) kind: RefusalKind,
}

/// What kind of refusal it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RefusalKind {
    /// A limit is passed.
    Limit,
    /// The text is no CEL.
    Syntax,
}

/// Judges an expression; what passes may be given to CEL on a thread with a stack of 64 MiB.
pub(crate) fn scan(text: &str) -> Result<(), Refusal> {
    if text.len() > MAX_BYTES {
        let message = format!("the expression is {} bytes long, more than {MAX_BYTES}", text.len());
        return Err(Refusal { at: 0, message, kind: RefusalKind::Limit });
    }
    let letters: Vec<char> = text.chars().collect();
    let mut scan = Scan { letters: &letters, at: 0, brackets: Vec::new(), operators: 0, selectors: 0, macros: 0 };
    while scan.at < letters.len() {
        scan.step()?;
    }
    match scan.brackets.last() {
        Some(open) => Err(syntax(open.at, format!("`{}` is not closed", letters[open.at]))),
        None => Ok(()),
    }
}

struct Bracket {
    closer: char,
    at: usize,
    is_macro: bool,
}

struct Scan<'a> {
    letters: &'a [char],
    at: usize,
    brackets: Vec<Bracket>,
    operators: usize,
    selectors: usize,
    macros: usize,
}

fn syntax(at: usize, message: impl Into<String>) -> Refusal {
    Refusal { at, message: message.into(), kind: RefusalKind::Syntax }
}

fn limit(at: usize, message: String) -> Refusal {
    Refusal { at, message, kind: RefusalKind::Limit }
}

impl Scan<'_> {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.letters.get(self.at + ahead).copied()
    }

    fn step(&mut self) -> Result<(), Refusal> {
        let letter = self.letters[self.at];
        match letter {
            'a'..='z' | 'A'..='Z' | '_' => self.word(),
            '0'..='9' => {
                self.number();
                Ok(())
            }
            '\'' | '"' => self.string(Escapes::Read),
            '(' | '[' | '{' => self.open(letter),
            ')' | ']' | '}' => self.close(letter),
            '.' => self.selector(),
            '/' if self.peek(1) == Some('/') => Err(syntax(self.at, "comments are not allowed in expressions")),
            '+' | '-' | '*' | '/' | '%' | '!' | '?' | ':' | '<' | '>' | '=' | '&' | '|' => self.operator(letter),
            ',' | ' ' | '\t' | '\n' | '\r' => {
                self.at += 1;
                Ok(())
            }
            _ => Err(syntax(self.at, format!("`{}` cannot stand here", letter.escape_debug()))),
        }
    }

    fn word(&mut self) -> Result<(), Refusal> {
        let start = self.at;
        while self.peek(0).is_some_and(|letter| letter.is_ascii_alphanumeric() || letter == '_') {
            self.at += 1;
        }
        let word: String = self.letters[start..self.at].iter().collect();
        let quote = matches!(self.peek(0), Some('\'' | '"'));
        match word.as_str() {
            "r" | "R" | "br" | "bR" | "Br" | "BR" if quote => self.string(Escapes::Raw),
            "b" | "B" if quote => self.string(Escapes::Read),
            "in" => self.count_operator(start),
            _ => Ok(()),
        }
    }

    fn number(&mut self) {
        while self.peek(0).is_some_and(|letter| letter.is_ascii_alphanumeric() || letter == '_') {
            self.at += 1;
        }
        if self.peek(0) == Some('.') && self.peek(1).is_some_and(|letter| letter.is_ascii_digit()) {
            self.at += 1;
            self.number();
        }
    }

    fn string(&mut self, escapes: Escapes) -> Result<(), Refusal> {
        let start = self.at;
        let quote = self.letters[start];
        let triple = self.peek(1) == Some(quote) && self.peek(2) == Some(quote);
        self.at += if triple { 3 } else { 1 };
        loop {
            match self.peek(0) {
                None => return Err(syntax(start, "the string is not closed")),
                Some('\n' | '\r') if !triple => return Err(syntax(start, "the string is not closed on its line")),
                Some('\\') if escapes == Escapes::Read => self.escape()?,
                Some(letter) if letter == quote && !triple => {
                    self.at += 1;
                    return Ok(());
                }
                Some(letter) if letter == quote && self.peek(1) == Some(quote) && self.peek(2) == Some(quote) => {
                    self.at += 3;
                    return Ok(());
                }
                Some(_) => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Result<(), Refusal> {
        let wrong = syntax(self.at, "unknown escape in a string; write `\\\\` for a backslash");
        let hex = |from: usize, count: usize| {
            (from..from + count).all(|ahead| self.peek(ahead).is_some_and(|letter| letter.is_ascii_hexdigit()))
        };
        let length = match self.peek(1) {
            Some('a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\' | '\'' | '"' | '`' | '?') => 2,
            Some('x' | 'X') if hex(2, 2) => 4,
            Some('u') if hex(2, 4) => 6,
            Some('U') if hex(2, 8) => 10,
            Some('0'..='3') if [2, 3].iter().all(|ahead| matches!(self.peek(*ahead), Some('0'..='7'))) => 4,
            _ => return Err(wrong),
        };
        self.at += length;
        Ok(())
    }

    fn open(&mut self, letter: char) -> Result<(), Refusal> {
        let is_macro = letter == '(' && self.macro_before();
        let closer = match letter {
            '(' => ')',
            '[' => ']',
            _ => '}',
        };
        if letter == '[' {
            self.count_selector()?;
        }
        self.brackets.push(Bracket { closer, at: self.at, is_macro });
        if self.brackets.len() > MAX_BRACKETS {
            return Err(limit(self.at, format!("brackets nested more than {MAX_BRACKETS} deep")));
        }
        if is_macro {
            self.macros += 1;
            let depth = self.brackets.iter().filter(|bracket| bracket.is_macro).count();
            if self.macros > MAX_MACROS || depth > MAX_MACRO_DEPTH {
                let message = format!(
                    "more than {MAX_MACROS} of all, exists, exists_one, map, filter, or more than {MAX_MACRO_DEPTH} in one another"
                );
                return Err(limit(self.at, message));
            }
        }
        self.at += 1;
        Ok(())
    }

    fn macro_before(&self) -> bool {
        let before: String = self.letters[..self.at].iter().collect();
        let word = before.trim_end();
        [
            "all",
            "exists",
            "exists_one",
            "existsOne",
            "map",
            "filter",
            "transformList",
            "transformMap",
            "transformMapEntry",
        ]
        .iter()
        .any(|name| {
            word.strip_suffix(name)
                .is_some_and(|rest| !rest.ends_with(|letter: char| letter.is_ascii_alphanumeric() || letter == '_'))
        })
    }

    fn close(&mut self, letter: char) -> Result<(), Refusal> {
        match self.brackets.pop() {
            Some(open) if open.closer == letter => {
                self.at += 1;
                Ok(())
            }
            _ => Err(syntax(self.at, format!("`{letter}` closes nothing"))),
        }
    }

    fn selector(&mut self) -> Result<(), Refusal> {
        if self.peek(1).is_some_and(|letter| letter.is_ascii_digit()) {
            self.at += 1;
            self.number();
            return Ok(());
        }
        self.count_selector()?;
        self.at += 1;
        Ok(())
    }

    fn count_selector(&mut self) -> Result<(), Refusal> {
        self.selectors += 1;
        if self.selectors > MAX_SELECTORS {
            return Err(limit(self.at, format!("more than {MAX_SELECTORS} selectors and lists")));
        }
        Ok(())
    }

    fn operator(&mut self, letter: char) -> Result<(), Refusal> {
        self.count_operator(self.at)?;
        let double =
            matches!((letter, self.peek(1)), ('&', Some('&')) | ('|', Some('|')) | ('<' | '>' | '=' | '!', Some('=')));
        self.at += if double { 2 } else { 1 };
        Ok(())
    }

    fn count_operator(&mut self, at: usize) -> Result<(), Refusal> {
        self.operators += 1;
        if self.operators > MAX_OPERATORS {
            return Err(limit(at, format!("more than {MAX_OPERATORS} operators")));
        }
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Escapes {
    Read,
    Raw,
}
