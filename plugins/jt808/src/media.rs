//! What stands before the data of media: which they are, why and where they were made.

use packhorse_codec::{Fault, Reader};

/// Bytes before the data in a 0x0801: what 0x0800 tells as well, and the place.
pub(crate) const HEAD: usize = 36;

/// Of what 0x0800 and 0x0801 begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Media {
    pub(crate) id: u32,
    /// 0 image, 1 sound, 2 video.
    pub(crate) kind: u8,
    pub(crate) format: u8,
    /// Why it was made.
    pub(crate) event: u8,
    pub(crate) channel: u8,
}

/// Formats by number, as endings of file names.
const FORMATS: [&str; 5] = ["jpg", "tif", "mp3", "wav", "wmv"];

impl Media {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        Ok(Self {
            id: reader.u32_be("media id")?,
            kind: reader.u8("media type")?,
            format: reader.u8("media format")?,
            event: reader.u8("media event")?,
            channel: reader.u8("media channel")?,
        })
    }

    pub(crate) fn bytes(self) -> [u8; 8] {
        let id = self.id.to_be_bytes();
        [id[0], id[1], id[2], id[3], self.kind, self.format, self.event, self.channel]
    }

    /// Media have a number and no name.
    pub(crate) fn name(self) -> String {
        let ending = FORMATS.get(usize::from(self.format)).unwrap_or(&"bin");
        format!("{}.{ending}", self.id)
    }

    pub(crate) fn meta(self) -> Vec<(String, String)> {
        let numbers = [("channel", self.channel), ("event", self.event), ("media_type", self.kind)];
        numbers.into_iter().map(|(key, number)| (key.to_owned(), number.to_string())).collect()
    }

    /// A file of the simulated device, by its name.
    pub(crate) fn named(name: &str) -> Self {
        let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending).to_ascii_lowercase();
        let format = FORMATS.iter().position(|known| **known == ending).unwrap_or_default() as u8;
        let kind = match format {
            0 | 1 => 0,
            2 | 3 => 1,
            _ => 2,
        };
        // FNV-1a; 0 is no number of media.
        let hash = name.bytes().fold(0x811c_9dc5, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        Self { id: hash.max(1), kind, format, event: 0, channel: 1 }
    }
}
