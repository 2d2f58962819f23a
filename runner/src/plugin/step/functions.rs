//! The host functions of step plugins: each makes one effect of its arguments and takes its answer apart.

use std::collections::BTreeMap;
use std::time::Duration;

use packhorse_core::effect::{Effect, KvRequest, LogLevel, MqttRequest, PublishRequest, Reply, WaitRequest};
use packhorse_core::transfer::Qos;
use serde_json::Value;

use super::bindings::types::{self, Class, Error, Pairs};
use super::bindings::{diagnostics, fastdfs, log, mqtt, redis};
use super::calls::{Answer, Calls};

/// Largest payload, as of `mqtt.publish` in workflows.
const MAX_PAYLOAD: usize = 256 << 10;
/// Most bytes of a file in one call.
const MAX_BYTES: usize = 1 << 20;
/// Longest key or field.
const MAX_KEY: usize = 1024;
/// What the failure of a wait that was in vain is called.
const NOTHING_CAME: &str = "PH5301";

impl types::Host for Calls {}

impl diagnostics::Host for Calls {
    fn panicked(&mut self, message: String) -> wasmtime::Result<()> {
        self.beside.keep_last_words(message);
        Ok(())
    }
}

impl mqtt::Host for Calls {
    fn publish(&mut self, topic: String, payload: Vec<u8>, qos: mqtt::Qos, retain: bool) -> Answer<()> {
        if let Err(error) = sized("the payload", payload.len(), MAX_PAYLOAD) {
            return Ok(Err(error));
        }
        let qos = match qos {
            mqtt::Qos::AtMostOnce => Qos::AtMostOnce,
            mqtt::Qos::AtLeastOnce => Qos::AtLeastOnce,
        };
        let (subject, out) = (topic.clone(), payload.len());
        let effect = Effect::Publish(PublishRequest { topic, payload, qos, retain });
        Ok(self.ask("mqtt.publish", &subject, effect, out)?.map(drop))
    }

    fn request(
        &mut self,
        topic: String,
        payload: Vec<u8>,
        reply_topic: String,
        timeout_ms: u32,
    ) -> Answer<Option<mqtt::Message>> {
        if let Err(error) = sized("the payload", payload.len(), MAX_PAYLOAD) {
            return Ok(Err(error));
        }
        let (subject, out) = (format!("{topic} (answered on {reply_topic})"), payload.len());
        let publish = PublishRequest { topic, payload, qos: Qos::AtLeastOnce, retain: false };
        let wait = Duration::from_millis(timeout_ms.into());
        let effect = Effect::Request(MqttRequest { publish, reply_topic, wait });
        Ok(message(self.ask("mqtt.request", &subject, effect, out)?))
    }

    fn wait(&mut self, topic: String, timeout_ms: u32) -> Answer<Option<mqtt::Message>> {
        let subject = topic.clone();
        let effect = Effect::Wait(WaitRequest { topic, wait: Duration::from_millis(timeout_ms.into()) });
        Ok(message(self.ask("mqtt.wait", &subject, effect, 0)?))
    }
}

impl Calls {
    fn key(&mut self, what: &str, request: KvRequest, subject: &str, out: usize) -> Answer<Value> {
        if let Err(error) = sized("the key or field", subject.len(), MAX_KEY) {
            return Ok(Err(error));
        }
        let answer = self.ask(what, subject, Effect::Kv(request), out)?;
        Ok(answer.map(|reply| match reply {
            Reply::Value { value } => value,
            _ => Value::Null,
        }))
    }
}

impl redis::Host for Calls {
    fn get(&mut self, key: String) -> Answer<Option<String>> {
        let request = KvRequest::Get { key: key.clone() };
        Ok(self.key("redis.get", request, &key, 0)?.map(text))
    }

    fn set(&mut self, key: String, value: String, expire_ms: Option<u64>) -> Answer<()> {
        let (subject, out, expire) = (key.clone(), value.len(), expire_ms.map(Duration::from_millis));
        Ok(self.key("redis.set", KvRequest::Set { key, value, expire }, &subject, out)?.map(drop))
    }

    fn delete(&mut self, key: String) -> Answer<()> {
        let request = KvRequest::Del { key: key.clone() };
        Ok(self.key("redis.delete", request, &key, 0)?.map(drop))
    }

    fn hash_get(&mut self, key: String, field: String) -> Answer<Option<String>> {
        let (subject, out) = (key.clone(), field.len());
        Ok(self.key("redis.hash-get", KvRequest::Hget { key, field }, &subject, out)?.map(text))
    }

    fn hash_get_all(&mut self, key: String) -> Answer<Pairs> {
        let request = KvRequest::Hgetall { key: key.clone() };
        let fields = self.key("redis.hash-get-all", request, &key, 0)?;
        Ok(fields.map(|value| match value {
            Value::Object(fields) => {
                fields.into_iter().filter_map(|(name, value)| Some((name, text(value)?))).collect()
            }
            _ => Vec::new(),
        }))
    }

    fn hash_set(&mut self, key: String, field: String, value: String) -> Answer<()> {
        let (subject, out) = (key.clone(), field.len() + value.len());
        Ok(self.key("redis.hash-set", KvRequest::Hset { key, field, value }, &subject, out)?.map(drop))
    }

    fn hash_delete(&mut self, key: String, field: String) -> Answer<()> {
        let (subject, out) = (key.clone(), field.len());
        Ok(self.key("redis.hash-delete", KvRequest::Hdel { key, field }, &subject, out)?.map(drop))
    }

    fn stream_add(&mut self, key: String, fields: Pairs, max_length: Option<u64>) -> Answer<String> {
        if fields.is_empty() {
            return Ok(Err(wrong("a stream's entry has at least one field".to_owned())));
        }
        let (subject, out) = (key.clone(), fields.iter().map(|(name, value)| name.len() + value.len()).sum());
        let request = KvRequest::Xadd { key, fields, maxlen: max_length };
        Ok(self.key("redis.stream-add", request, &subject, out)?.map(|value| text(value).unwrap_or_default()))
    }
}

impl fastdfs::Host for Calls {
    fn upload(&mut self, bytes: Vec<u8>, extension: String, appendable: bool) -> Answer<String> {
        let fits = extension.len() <= 6 && extension.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !fits {
            return Ok(Err(wrong("an extension has at most 6 letters or digits, and no dot".to_owned())));
        }
        if let Err(error) = sized("the file", bytes.len(), MAX_BYTES) {
            return Ok(Err(error));
        }
        let (out, effect) = (bytes.len(), Effect::BlobPut { bytes, ext: extension, grows: appendable });
        let uri = match self.ask("fastdfs.upload", &format!("of {out} bytes"), effect, out)? {
            Ok(Reply::Stored { file }) => file.uri,
            Ok(_) => return Ok(Err(wrong("the file store gave no file".to_owned()))),
            Err(error) => return Ok(Err(error)),
        };
        // Where it lands is the tracker's choice: what is not within the grants does not stay.
        if let Err(why) = self.grants.has_group(&uri) {
            let gone = self.carry_out(Effect::BlobDelete { uri: uri.clone() })?;
            let why = gone.err().map_or_else(|| why.clone(), |failure| format!("{why}; and it stays there: {failure}"));
            return self.refuse("fastdfs.upload", &uri, why, Error::Denied);
        }
        Ok(Ok(uri))
    }

    fn append(&mut self, uri: String, bytes: Vec<u8>) -> Answer<()> {
        if let Err(error) = sized("what is added", bytes.len(), MAX_BYTES) {
            return Ok(Err(error));
        }
        let (subject, out) = (uri.clone(), bytes.len());
        Ok(self.ask("fastdfs.append", &subject, Effect::BlobAppend { uri, bytes }, out)?.map(drop))
    }

    fn download(&mut self, uri: String, offset: u64, length: u32) -> Answer<Vec<u8>> {
        if let Err(error) = sized("what is asked for", length as usize, MAX_BYTES) {
            return Ok(Err(error));
        }
        let subject = uri.clone();
        let answer =
            self.ask("fastdfs.download", &subject, Effect::BlobRead { uri, offset, length }, length as usize)?;
        Ok(answer.map(|reply| match reply {
            Reply::Bytes { bytes } => bytes,
            _ => Vec::new(),
        }))
    }

    fn delete(&mut self, uri: String) -> Answer<()> {
        let subject = uri.clone();
        Ok(self.ask("fastdfs.delete", &subject, Effect::BlobDelete { uri }, 0)?.map(drop))
    }
}

impl log::Host for Calls {
    fn log(&mut self, level: log::Level, message: String, fields: Pairs) -> Answer<()> {
        let level = match level {
            log::Level::Debug => LogLevel::Debug,
            log::Level::Info => LogLevel::Info,
            log::Level::Warn => LogLevel::Warn,
            log::Level::Error => LogLevel::Error,
        };
        let out = message.len() + fields.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        let message = message.escape_debug().to_string();
        let mut said: BTreeMap<String, Value> =
            fields.into_iter().map(|(name, value)| (name, Value::String(value))).collect();
        said.insert("plugin".to_owned(), Value::String(self.plugin.clone()));
        Ok(self.ask("log.log", "", Effect::Log { level, message, fields: said }, out)?.map(drop))
    }
}

/// None where nothing came in time.
fn message(answer: Result<Reply, Error>) -> Result<Option<mqtt::Message>, Error> {
    match answer {
        Ok(Reply::Message(message)) => Ok(Some(mqtt::Message { topic: message.topic, payload: message.payload })),
        Ok(_) => Ok(None),
        Err(Error::Failed(failure)) if failure.code == NOTHING_CAME => Ok(None),
        Err(error) => Err(error),
    }
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    }
}

fn sized(what: &str, bytes: usize, most: usize) -> Result<(), Error> {
    if bytes <= most { Ok(()) } else { Err(wrong(format!("{what} has {bytes} bytes, more than {most}"))) }
}

fn wrong(message: String) -> Error {
    Error::Failed(types::Failure { class: Class::Permanent, code: String::new(), message })
}
