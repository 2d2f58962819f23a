//! Writes what announces an image and what a device says of it: everything around a download but its blocks.

use packhorse_codec::json::ObjectWriter;
use packhorse_codec::{Algorithm, File, Transfer, hex};

use crate::describe::variable;

/// An image, as it is announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Notice {
    pub(crate) size: u64,
    pub(crate) version: String,
    /// As the workflow gave it; `None` is the default module.
    pub(crate) module: Option<String>,
    pub(crate) stream_id: u32,
    /// The members of `data`, an object.
    data: String,
}

/// A name in an announcement: the vendor has no word for it, but lets everybody add their own.
pub(crate) const NAME_MOST: usize = 100;

/// Every announcement has one file, so it has always the same number.
pub(crate) const FILE_ID: u64 = 1;

impl Notice {
    /// `None` where size or digest are not known.
    pub(crate) fn new(transfer: &Transfer) -> Option<Self> {
        let file = &transfer.file;
        let (method, sign) = sign(file, variable(transfer, "sign") == Some("sha256"))?;
        let digits = hex::encode(sign);
        let named = |key: &str| file.meta(key).filter(|text| !text.is_empty()).or_else(|| variable(transfer, key));
        let mut notice = Self {
            size: file.size?,
            version: named("version").unwrap_or(&digits).to_owned(),
            module: named("module").map(ToOwned::to_owned),
            stream_id: stream_id(sign),
            data: String::new(),
        };
        notice.data = notice.members(method, &digits, file);
        Some(notice)
    }

    /// The order is the platform's: some devices read it with `sscanf`.
    fn members(&self, method: &str, sign: &str, file: &File) -> String {
        let mut data = ObjectWriter::with_capacity(256);
        data.number("size", self.size);
        data.number("streamId", self.stream_id.into());
        data.string("sign", sign);
        data.string("dProtocol", "mqtt");
        data.string("version", &self.version);
        data.string("signMethod", method);
        data.number("streamFileId", FILE_ID);
        if method == MD5 {
            data.string("md5", sign);
        }
        module_member(&mut data, self.module.as_deref());
        if let Some(signature) = file.meta("signature") {
            data.string("digestsign", signature);
        }
        if !file.name.is_empty() && file.name.len() <= NAME_MOST {
            let mut more = ObjectWriter::with_capacity(64);
            more.string("fileName", &file.name);
            data.raw("extData", &String::from_utf8_lossy(&more.finish()));
        }
        String::from_utf8_lossy(&data.finish()).into_owned()
    }

    /// Unasked: here the code is a text and the id a number.
    pub(crate) fn upgrade(&self, id: u32) -> Vec<u8> {
        let mut object = ObjectWriter::with_capacity(self.data.len() + 64);
        object.string("code", "1000");
        object.raw("data", &self.data);
        object.number("id", id.into());
        object.string("message", "success");
        object.finish()
    }

    /// As the answer to `firmware/get`.
    pub(crate) fn get_reply(&self, id: &str) -> Vec<u8> {
        let mut object = ObjectWriter::with_capacity(self.data.len() + 64);
        object.number("code", 200);
        object.raw("data", &self.data);
        object.string("id", id);
        object.string("message", "success");
        object.finish()
    }
}

/// `MD5` is what the documents say. The platform writes this, and the C SDK reads nothing else.
const MD5: &str = "Md5";
const SHA256: &str = "SHA256";

fn sign(file: &File, by_sha256: bool) -> Option<(&'static str, &[u8])> {
    let md5 = file.digest(Algorithm::Md5).map(|digest| (MD5, digest));
    let sha256 = file.digest(Algorithm::Sha256).map(|digest| (SHA256, digest));
    if by_sha256 { sha256.or(md5) } else { md5.or(sha256) }
}

/// From the digest, so that a download goes on after either end was restarted: 31 bits, as devices keep it in an `int`.
fn stream_id(sign: &[u8]) -> u32 {
    let bits = sign.iter().take(4).fold(0, |bits: u32, byte| bits << 8 | u32::from(*byte));
    (bits & 0x7fff_ffff).max(1)
}

/// The version that a module of the device has.
pub(crate) fn inform(id: u32, version: &str, module: Option<&str>) -> Vec<u8> {
    request(id, |params| {
        params.string("version", version);
        module_member(params, module);
    })
}

/// How far an upgrade is: 0 to 100 in per cent, -1 to -4 for failures.
pub(crate) fn progress(id: u32, step: i64, words: &str, module: Option<&str>) -> Vec<u8> {
    request(id, |params| {
        params.string("step", &step.to_string());
        params.string("desc", words);
        module_member(params, module);
    })
}

/// Asks for the announcement.
pub(crate) fn get(id: u32) -> Vec<u8> {
    request(id, |_| {})
}

/// Asks for a block.
pub(crate) fn download(id: u32, stream_id: u64, file_id: u64, offset: u64, size: u64) -> Vec<u8> {
    let mut object = ObjectWriter::with_capacity(160);
    object.string("id", &id.to_string());
    object.string("version", "1.0");
    let info = format!(r#""fileInfo":{{"streamId":{stream_id},"fileId":{file_id}}}"#);
    object.raw("params", &format!(r#"{{{info},"fileBlock":{{"size":{size},"offset":{offset}}}}}"#));
    object.finish()
}

/// Asks the device to upload a file, by a service of its thing model.
pub(crate) fn call(id: u32, service: &str, file_name: &str) -> Vec<u8> {
    let mut params = ObjectWriter::with_capacity(64);
    params.string("fileName", file_name);
    let mut object = ObjectWriter::with_capacity(192);
    object.string("id", &id.to_string());
    object.string("version", "1.0");
    object.raw("params", &String::from_utf8_lossy(&params.finish()));
    object.string("method", &format!("thing.service.{service}"));
    object.finish()
}

/// A request of the device: its id and its parameters.
pub(crate) fn request(id: u32, fill: impl FnOnce(&mut ObjectWriter)) -> Vec<u8> {
    let mut params = ObjectWriter::with_capacity(160);
    fill(&mut params);
    let params = params.finish();
    let mut object = ObjectWriter::with_capacity(params.len() + 32);
    object.string("id", &id.to_string());
    object.raw("params", &String::from_utf8_lossy(&params));
    object.finish()
}

fn module_member(object: &mut ObjectWriter, module: Option<&str>) {
    if let Some(module) = module {
        object.string("module", module);
    }
}
