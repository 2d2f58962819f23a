//! The functions of a plugin that the host calls.

/// Which function of a plugin was being called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are those of the contract")]
pub enum Function {
    Start,
    Describe,
    Open,
    Decode,
    Encode,
    Save,
    Run,
}

/// How many there are.
pub(crate) const FUNCTIONS: usize = Function::Run as usize + 1;

impl Function {
    /// Its place among all, and its name as a label.
    pub(crate) const fn indexed(self) -> (usize, &'static str) {
        let name = match self {
            Self::Start => "start",
            Self::Describe => "describe",
            Self::Open => "open",
            Self::Decode => "decode",
            Self::Encode => "encode",
            Self::Save => "save",
            Self::Run => "run",
        };
        (self as usize, name)
    }
}

impl std::fmt::Display for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Start => "its start function",
            Self::Describe => "describe",
            Self::Open => "open",
            Self::Decode => "decode",
            Self::Encode => "encode",
            Self::Save => "save",
            Self::Run => "run",
        })
    }
}
