//! A run's journal as it grows: server-sent events, and how a stream that broke goes on.

use super::UNREACHABLE;
use super::client::Remote;
use futures_util::StreamExt as _;
use packhorse_core::failure::{Class, Failure};
use packhorse_core::run::RunId;
use serde_json::Value;
use std::time::Duration;

/// Longest event in bytes.
const LONGEST: usize = 16 << 20;
/// A living stream gives a sign at least each 15 s.
const SILENCE: Duration = Duration::from_secs(50);

/// What was heard of a stream so far, over all connections.
#[derive(Debug, Default)]
pub(in crate::cli) struct Heard {
    /// Number of the last record.
    last: Option<u64>,
    /// Whether it was the run's end.
    over: bool,
    /// Whether a connection has stood since the last time that one broke.
    pub(in crate::cli) stood: bool,
}

/// How a connection ended.
#[derive(Debug)]
pub(in crate::cli) enum Ending {
    /// With the run.
    Over,
    /// Before it; another one may go on.
    Broken(Failure),
}

impl Remote {
    /// Hears records of a run after the last one, until the run or the connection ends.
    ///
    /// # Errors
    ///
    /// What another connection would not mend.
    pub(in crate::cli) async fn hear(
        &self,
        run: &RunId,
        heard: &mut Heard,
        mut tell: impl FnMut(u64, Value) -> Result<(), Failure>,
    ) -> Result<Ending, Failure> {
        let body = match self.stream(&format!("/v1/runs/{run}/events"), heard.last).await {
            Ok(Some(body)) => body,
            Ok(None) => return Ok(Ending::Over),
            Err(failure) if passes(&failure) => return Ok(Ending::Broken(failure)),
            Err(failure) => return Err(failure),
        };
        heard.stood = true;
        let (mut bytes, mut events) = (body.into_data_stream(), Events::default());
        loop {
            let Ok(piece) = tokio::time::timeout(SILENCE, bytes.next()).await else {
                return Ok(Ending::Broken(self.silent("the stream of events fell silent")));
            };
            let Some(Ok(piece)) = piece else {
                let broken = || Ending::Broken(self.silent("the stream of events broke off"));
                return Ok(if heard.over { Ending::Over } else { broken() });
            };
            for (number, mut record) in events.read(&piece).map_err(|why| self.silent(why))? {
                heard.over = record["fact"] == "finished";
                heard.last = Some(number);
                unnumbered(&mut record);
                tell(number, record)?;
            }
        }
    }
}

/// A record as it is in the journal: the API has its number in it.
pub(super) fn unnumbered(record: &mut Value) {
    if let Some(fields) = record.as_object_mut() {
        fields.remove("seq");
    }
}

/// Whether it may be otherwise in a moment.
pub(in crate::cli) fn passes(failure: &Failure) -> bool {
    // A daemon that is being stopped says that its store is not to be had.
    failure.code == UNREACHABLE || failure.code == "PH7002" || failure.class == Class::Transient
}

/// Events out of the bytes of a stream, wherever those are cut.
#[derive(Debug, Default)]
struct Events {
    line: Vec<u8>,
    id: Option<u64>,
    data: String,
}

impl Events {
    /// The events that these bytes complete.
    fn read(&mut self, bytes: &[u8]) -> Result<Vec<(u64, Value)>, &'static str> {
        let mut whole = Vec::new();
        for &byte in bytes {
            match byte {
                b'\n' => {
                    let line = std::mem::take(&mut self.line);
                    whole.extend(self.take(String::from_utf8_lossy(&line).trim_end_matches('\r'))?);
                }
                byte => self.line.push(byte),
            }
            if self.line.len() + self.data.len() > LONGEST {
                return Err("an event is too long");
            }
        }
        Ok(whole)
    }

    fn take(&mut self, line: &str) -> Result<Option<(u64, Value)>, &'static str> {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => self.id = value.parse().ok(),
            "data" => self.data.push_str(value),
            "" if line.is_empty() && !self.data.is_empty() => {
                let (id, data) = (self.id.take(), std::mem::take(&mut self.data));
                let record = serde_json::from_str(&data).map_err(|_| "an event is no record")?;
                return Ok(Some((id.ok_or("an event has no number")?, record)));
            }
            // Signs of life, and the kind of an event, which its record tells too.
            _ => {}
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const STREAM: &str = ": alive\n\nid: 3\nevent: created\ndata: {\"fact\":\"created\"}\n\n:\r\n\r\nid:4\r\ndata:{\"a\":\"\u{e9}: \"}\r\n\r\nid: 5\ndata: {";

    #[test]
    fn events_are_the_same_wherever_a_stream_is_cut() {
        let whole = [(3, json!({ "fact": "created" })), (4, json!({ "a": "\u{e9}: " }))];
        for size in 1..=STREAM.len() {
            let mut events = Events::default();
            let heard = STREAM.as_bytes().chunks(size).map(|piece| events.read(piece).unwrap());
            assert_eq!(heard.flatten().collect::<Vec<_>>(), whole, "{size}");
        }
    }

    #[test]
    fn what_is_no_stream_of_ours_is_told() {
        for bad in ["data: {}\n\n", "id: 1\ndata: x\n\n", "id: x\ndata: {}\n\n"] {
            assert!(Events::default().read(bad.as_bytes()).is_err(), "{bad}");
        }
        let long = vec![b'x'; LONGEST + 1];
        assert!(Events::default().read(&long).is_err());
    }
}
