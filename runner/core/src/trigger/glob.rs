//! Names of files by pattern: `*` is any text, `?` any one character; everything else stands for itself.

/// Longest pattern in bytes.
const LONGEST: usize = 255;

/// A pattern for the name of a file, never for its folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob(String);

impl Glob {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// In words, where it is no pattern for a name.
    pub fn new(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.len() > LONGEST || text.chars().any(char::is_control) {
            return Err(format!("a pattern has 1 to {LONGEST} bytes and no control characters"));
        }
        if text.contains('/') {
            return Err("a pattern is for names in the folder itself and holds no `/`".to_owned());
        }
        if text.contains(['[', ']', '{', '}']) {
            return Err("a pattern knows `*` and `?` only".to_owned());
        }
        Ok(Self(text.to_owned()))
    }

    /// As written.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Whether a name fits. Names that begin with a dot fit only patterns that do. Takes at most |pattern| × |name| steps.
    pub fn matches(&self, name: &str) -> bool {
        if name.starts_with('.') && !self.0.starts_with('.') {
            return false;
        }
        let (pattern, name): (Vec<char>, Vec<char>) = (self.0.chars().collect(), name.chars().collect());
        let (mut at, mut here) = (0, 0);
        // Where the last `*` stands, and how far it reaches.
        let mut star: Option<(usize, usize)> = None;
        while here < name.len() {
            match pattern.get(at) {
                Some('*') => {
                    star = Some((at, here));
                    at += 1;
                }
                Some(letter) if *letter == '?' || *letter == name[here] => (at, here) = (at + 1, here + 1),
                _ => {
                    let Some((begun, reach)) = star else { return false };
                    star = Some((begun, reach + 1));
                    (at, here) = (begun + 1, reach + 1);
                }
            }
        }
        pattern[at..].iter().all(|letter| *letter == '*')
    }
}
