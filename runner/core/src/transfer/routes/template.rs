//! A route's template: levels of text, the device, variables and what is captured.

use super::{MAX_LEVELS, MAX_TOPIC_BYTES, RouteError, shortened};

/// One level of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Level {
    /// Pieces that together make the level, with no wildcard.
    Fixed(Vec<Piece>),
    /// `{+}`.
    One,
    /// `{#}`.
    Rest,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    Device,
    Var(String),
}

/// A route's template, parsed: what it says before any device is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    pub(super) source: String,
    pub(super) levels: Vec<Level>,
}

impl Template {
    /// Parses levels of text, `{device}`, `{var}`, `{+}` (a whole level) and `{#}` (the whole last level).
    pub fn parse(source: &str) -> Result<Self, RouteError> {
        let bad = |problem: &str| RouteError::Template { template: shortened(source), problem: problem.to_owned() };
        if source.is_empty() || source.len() > MAX_TOPIC_BYTES {
            return Err(bad("its length is not one of a topic"));
        }
        let parts: Vec<&str> = source.split('/').collect();
        if parts.len() > MAX_LEVELS {
            return Err(bad("it has more than 64 levels"));
        }
        if parts.iter().all(|part| part.is_empty()) {
            return Err(bad("it has no text"));
        }
        if parts.iter().skip(1).any(|part| part.is_empty()) {
            return Err(bad("a level is empty"));
        }
        if matches!(parts[0], "$share" | "$SYS" | "$queue" | "$exclusive") {
            return Err(bad("its first level belongs to the broker"));
        }
        let last = parts.len() - 1;
        let levels: Vec<Level> =
            parts.iter().map(|part| level(part)).collect::<Result<_, _>>().map_err(|problem| bad(&problem))?;
        if levels.iter().take(last).any(|level| *level == Level::Rest) {
            return Err(bad("{#} stands before the last level"));
        }
        if matches!(levels[0], Level::One | Level::Rest) {
            return Err(bad("its first level is a wildcard"));
        }
        Ok(Self { source: source.to_owned(), levels })
    }

    /// Names of the variables that stand in it, in order, repeated where they are.
    pub fn vars(&self) -> impl Iterator<Item = &str> {
        self.pieces().filter_map(|piece| match piece {
            Piece::Var(name) => Some(name.as_str()),
            Piece::Text(_) | Piece::Device => None,
        })
    }

    /// Whether `{device}` stands in it. A variable may bring the device in as well: see [`Routes::names_device`].
    pub fn names_device(&self) -> bool {
        self.pieces().any(|piece| *piece == Piece::Device)
    }

    /// How many captures it takes.
    pub fn captures(&self) -> usize {
        self.levels.iter().filter(|level| !matches!(level, Level::Fixed(_))).count()
    }

    fn pieces(&self) -> impl Iterator<Item = &Piece> {
        self.levels.iter().flat_map(|level| match level {
            Level::Fixed(pieces) => pieces.as_slice(),
            Level::One | Level::Rest => &[],
        })
    }
}

fn level(part: &str) -> Result<Level, String> {
    match part {
        "{+}" => return Ok(Level::One),
        "{#}" => return Ok(Level::Rest),
        _ => {}
    }
    let mut pieces = Vec::new();
    let mut rest = part;
    while let Some(open) = rest.find('{') {
        let (text, braced) = rest.split_at(open);
        let close = braced.find('}').ok_or_else(|| "a `{` is not closed".to_owned())?;
        push_text(&mut pieces, text)?;
        pieces.push(named(&braced[1..close])?);
        rest = &braced[close + 1..];
    }
    push_text(&mut pieces, rest)?;
    Ok(Level::Fixed(pieces))
}

fn push_text(pieces: &mut Vec<Piece>, text: &str) -> Result<(), String> {
    if text.contains('}') {
        return Err("a `}` closes nothing".to_owned());
    }
    if let Some(problem) = unfit(text) {
        return Err(format!("its text {problem}"));
    }
    if !text.is_empty() {
        pieces.push(Piece::Text(text.to_owned()));
    }
    Ok(())
}

fn named(name: &str) -> Result<Piece, String> {
    match name {
        "device" => Ok(Piece::Device),
        "+" | "#" => Err(format!("{{{name}}} does not fill its level alone")),
        _ if is_var_name(name) => Ok(Piece::Var(name.to_owned())),
        _ => Err(format!("{{{name}}} names no variable")),
    }
}

/// Whether `name` may name a codec's variable: `[a-z][a-z0-9_]{0,63}`, and not `device`.
pub fn is_var_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    name != "device"
        && name.len() <= 64
        && bytes.next().is_some_and(|first| first.is_ascii_lowercase())
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// What keeps `text` out of a topic level, slashes left aside.
pub(super) fn unfit(text: &str) -> Option<&'static str> {
    text.chars().find_map(|letter| match letter {
        '+' | '#' => Some("holds a wildcard"),
        // MQTT forbids NUL, and lets a broker close the connection on the others and on non-characters.
        '\u{fdd0}'..='\u{fdef}' => Some("holds a character that is none"),
        _ if letter.is_control() => Some("holds a control character"),
        _ if u32::from(letter) & 0xfffe == 0xfffe => Some("holds a character that is none"),
        _ => None,
    })
}
