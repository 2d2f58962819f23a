//! What a topic says: `{file id}/init`, `{file id}/{offset}[/{checksum}]`, `{file id}/fin/{size}[/{checksum}]`, `{file id}/abort`.

use packhorse_codec::{Fault, More, hex};

/// Ids are kept and repeated, so they must be short.
const FILE_ID_MOST: usize = 128;

/// SHA-256.
pub(crate) type Checksum = [u8; 32];

/// One command of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    Init,
    Segment { offset: u64, checksum: Option<Checksum> },
    Fin { size: u64, checksum: Option<Checksum> },
    Abort,
}

/// A command and the upload that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) file_id: String,
    pub(crate) command: Command,
}

impl Named {
    /// Reads what stands behind `$file-async/` or `$file/`.
    pub(crate) fn read(tail: &str) -> Result<Self, Fault> {
        let levels: Vec<&str> = tail.split('/').collect();
        let (file_id, command) = match levels[..] {
            [file_id, "init"] => (file_id, Command::Init),
            [file_id, "abort"] => (file_id, Command::Abort),
            [file_id, "fin", size] => (file_id, Command::Fin { size: number("size", size)?, checksum: None }),
            [file_id, "fin", size, sum] => {
                (file_id, Command::Fin { size: number("size", size)?, checksum: Some(checksum(sum)?) })
            }
            [file_id, offset] => (file_id, Command::Segment { offset: number("offset", offset)?, checksum: None }),
            [file_id, offset, sum] => {
                let (offset, checksum) = (number("offset", offset)?, Some(checksum(sum)?));
                (file_id, Command::Segment { offset, checksum })
            }
            _ => return Err(Fault::malformed("its topic is no command of a file transfer")),
        };
        if file_id.is_empty() || file_id.len() > FILE_ID_MOST {
            return Err(Fault::malformed(format!("its file id has {} bytes, not 1 to {FILE_ID_MOST}", file_id.len())));
        }
        Ok(Self { file_id: file_id.to_owned(), command })
    }

    /// The topic behind `$file-async/`.
    pub(crate) fn tail(&self) -> String {
        let with = |number: u64, checksum: &Option<Checksum>| match checksum {
            Some(sum) => format!("{number}/{}", hex::encode(sum)),
            None => number.to_string(),
        };
        let command = match &self.command {
            Command::Init => "init".to_owned(),
            Command::Segment { offset, checksum } => with(*offset, checksum),
            Command::Fin { size, checksum } => format!("fin/{}", with(*size, checksum)),
            Command::Abort => "abort".to_owned(),
        };
        [&self.file_id, "/", &command].concat()
    }
}

/// The one capture of a route with `{#}`.
pub(crate) fn capture(more: Option<&More>) -> Result<&str, Fault> {
    match more.map_or(&[][..], |more| more.captures.as_slice()) {
        [tail] => Ok(tail),
        _ => Err(Fault::malformed("its topic names no file")),
    }
}

fn number(what: &str, text: &str) -> Result<u64, Fault> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| digits);
    number.ok_or_else(|| Fault::malformed(format!("its {what} {text:?} is not a number of bytes")))
}

fn checksum(text: &str) -> Result<Checksum, Fault> {
    hex::decode_array(text.as_bytes()).map_err(|error| Fault::malformed(format!("its checksum: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_read_as_they_are_written() {
        let sum = Some([0xab; 32]);
        for command in [
            Command::Init,
            Command::Abort,
            Command::Segment { offset: 0, checksum: None },
            Command::Segment { offset: u64::MAX, checksum: sum },
            Command::Fin { size: 0, checksum: None },
            Command::Fin { size: 77, checksum: sum },
        ] {
            let named = Named { file_id: "f-1".into(), command };
            assert_eq!(Named::read(&named.tail()), Ok(named));
        }
    }

    #[test]
    fn other_topics_are_no_commands() {
        let long = format!("{}/init", "x".repeat(129));
        for tail in [
            "",
            "f",
            "f/",
            "/init",
            "f/x",
            "f/-1",
            "f/+1",
            "f/1/zz",
            "f/fin",
            "f/fin/x",
            "f/fin/1/2",
            "f/init/1",
            "f/18446744073709551616",
            "f/fin/1/2/3",
            &long,
        ] {
            assert!(Named::read(tail).is_err(), "{tail}");
        }
    }
}
