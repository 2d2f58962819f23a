//! A file server for devices that fetch what they were offered by URL: HTTP/1.1 with ranges, one answer a connection.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Serves one file under any path until the test is over.
#[derive(Debug)]
pub struct FileServer {
    url: String,
    answers: Arc<AtomicU64>,
}

impl FileServer {
    /// Serves `bytes`, each answer `after` so long.
    pub fn start(bytes: Vec<u8>, after: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let url = format!("http://{}/file.bin", listener.local_addr().expect("it is bound"));
        let answers = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&answers);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::sleep(after);
                // Who hangs up in the middle asks again.
                counted.fetch_add(u64::from(answer(stream, &bytes).is_ok()), Ordering::Relaxed);
            }
        });
        Self { url, answers }
    }

    /// Where the file lies.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Answers so far.
    pub fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }
}

fn answer(mut stream: TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    let mut range = None;
    for line in BufReader::new(stream.try_clone()?).lines() {
        let line = line?.to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        let asked = line.strip_prefix("range: bytes=").and_then(|range| range.split_once('-'));
        range = asked.and_then(|(from, to)| Some((from.parse().ok()?, to.parse::<usize>().ok()?))).or(range);
    }
    let total = bytes.len();
    let (from, to) = range.map_or((0, total), |(from, to): (usize, usize)| (from, total.min(to + 1)));
    if from >= to {
        return write!(stream, "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */{total}\r\n\r\n");
    }
    let length = to - from;
    let last = to - 1;
    write!(
        stream,
        "HTTP/1.1 206 Partial Content\r\nContent-Length: {length}\r\nContent-Range: bytes {from}-{last}/{total}\r\n\r\n"
    )?;
    stream.write_all(&bytes[from..to])
}
