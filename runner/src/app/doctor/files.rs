//! The file store: its trackers, the room in it, and a small file there and back.

use super::{Finding, judge};
use packhorse_core::failure::chain;
use packhorse_fastdfs::{Client, ClientError, ClientOptions};
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// Bytes of the file that goes there and back.
const SIZE: usize = 4096;
/// Limit of each step.
const SOON: Duration = Duration::from_secs(8);

pub(super) async fn look(trackers: &[String], findings: &mut Vec<Finding>) {
    let named = trackers.join(",");
    let mut options = ClientOptions::new(trackers.iter().cloned());
    options.connect_timeout = Duration::from_secs(2);
    let client = Client::new(options);
    let here = timeout(SOON, client.active_trackers()).await.unwrap_or(0);
    if here == 0 {
        let advice = "start the trackers, or look at their addresses; `--fastdfs` names others";
        findings.push(Finding::unreachable("file store", "PH8014", format!("no tracker of {named} answers"), advice));
        return;
    }
    match there_and_back(&client).await {
        Ok(took) => {
            let took = took.as_secs_f64() * 1e3;
            let text = format!(
                "{here} of {} trackers at {named}; {SIZE} bytes stored, read, compared and deleted in {took:.1} ms",
                trackers.len()
            );
            findings.push(if here == trackers.len() {
                Finding::ok("file store", text)
            } else {
                Finding::warning("file store", "PH8014", text, "start the other trackers too")
            });
        }
        Err(words) => {
            let advice = "the trackers answer, and a storage does not do as it should: look at its log, its disk and its address";
            findings.push(Finding::unreachable("file store", "PH8015", format!("{named}: {words}"), advice));
        }
    }
    room(&client, findings).await;
    client.quit().await;
}

/// Stores, reads, compares and deletes a small file.
async fn there_and_back(client: &Client) -> Result<Duration, String> {
    let began = Instant::now();
    let bytes: Vec<u8> = (0..SIZE).map(|_| rand::random()).collect();
    let extension = "tmp".parse().map_err(|error| format!("{error:?}"))?;
    let file = within("store a file", client.upload(&bytes, &extension)).await?;
    let read = within("read it back", client.download(&file, 0, 0, SIZE * 2)).await;
    // Whatever came of reading, nothing of this stays.
    within("delete it", client.delete(&file)).await?;
    if read? == bytes { Ok(began.elapsed()) } else { Err("what was read is not what was stored".to_owned()) }
}

async fn within<T>(what: &str, work: impl Future<Output = Result<T, ClientError>>) -> Result<T, String> {
    let done = timeout(SOON, work).await;
    done.map_err(|_| format!("cannot {what}: no answer"))?.map_err(|error| format!("cannot {what}: {}", chain(&error)))
}

async fn room(client: &Client, findings: &mut Vec<Finding>) {
    let Ok(Ok(groups)) = timeout(SOON, client.groups()).await else { return };
    for group in groups.iter().filter(|group| group.total_mb > 0) {
        let free = group.free_mb.saturating_sub(group.reserved_mb);
        let mut finding = judge::room("file store room", "PH8016", free << 20, group.total_mb << 20);
        finding.text = format!("{}: {}", group.name, finding.text);
        findings.push(finding);
    }
}
