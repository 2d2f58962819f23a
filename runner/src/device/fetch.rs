//! A file that was offered by its URL: ranges of it over HTTP/1.1, as small firmware asks for them.
//!
//! One connection a range, no TLS, no redirects, no chunked encoding: a server that needs them is told so in the error.

use packhorse_core::transfer::Span;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A server that takes longer for one range has failed.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of status line and headers.
const HEAD_MOST: usize = 16 * 1024;
/// Bytes of one range.
const RANGE_MOST: u64 = 1 << 20;

/// Why a range did not come.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("it is no http:// address")]
    Address,
    #[error("no answer within {PATIENCE:?}")]
    Slow,
    #[error("the connection failed: {0}")]
    Io(#[from] std::io::Error),
    #[error("the server answers with status {0}")]
    Status(u16),
    #[error("the server's answer cannot be read: {0}")]
    Answer(&'static str),
    #[error("the server sent {got} bytes of {wanted}")]
    Short { got: u64, wanted: u64 },
}

/// Bytes of a range.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fetched {
    /// Fewer than were asked for where the file ends.
    pub(super) bytes: Vec<u8>,
    /// Size of the whole file, where the server tells it.
    pub(super) size: Option<u64>,
}

/// Fetches bytes of the file at `url`, at most 1 MiB of them.
pub(super) async fn fetch(url: &str, span: Span) -> Result<Fetched, FetchError> {
    let end = span.end.min(span.start.saturating_add(RANGE_MOST));
    let (host, path) = split(url).ok_or(FetchError::Address)?;
    let asked = ask(host, path, Span::new(span.start, end));
    tokio::time::timeout(PATIENCE, asked).await.map_err(|_| FetchError::Slow)?
}

/// Host with port, and path. Neither may hold what would make another request of it.
fn split(url: &str) -> Option<(&str, &str)> {
    if url.bytes().any(|byte| byte.is_ascii_control() || byte == b' ') {
        return None;
    }
    let rest = url.strip_prefix("http://")?;
    let at = rest.find('/').unwrap_or(rest.len());
    let (host, path) = rest.split_at(at);
    let path = path.split('#').next().unwrap_or_default();
    (!host.is_empty() && !host.contains('@')).then_some((host, if path.is_empty() { "/" } else { path }))
}

async fn ask(host: &str, path: &str, span: Span) -> Result<Fetched, FetchError> {
    let named = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let address = if named { host.to_owned() } else { format!("{host}:80") };
    let mut stream = TcpStream::connect(address).await?;
    let last = span.end.saturating_sub(1).max(span.start);
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nRange: bytes={}-{last}\r\nConnection: close\r\n\r\n",
        span.start
    );
    stream.write_all(request.as_bytes()).await?;
    let (head, body) = head(&mut stream).await?;
    let head = Head::read(&head)?;
    match head.status {
        200 => {
            let bytes = rest(&mut stream, body, span.start, span.len(), head.length).await?;
            Ok(Fetched { bytes, size: head.length })
        }
        206 if head.from == Some(span.start) => {
            let bytes = rest(&mut stream, body, 0, span.len(), head.length).await?;
            Ok(Fetched { bytes, size: head.total })
        }
        206 => Err(FetchError::Answer("it is another range than the one that was asked for")),
        // There is nothing behind the end of the file.
        416 => Ok(Fetched { bytes: Vec::new(), size: head.total }),
        status => Err(FetchError::Status(status)),
    }
}

/// Status line and headers, and what came of the body with them.
async fn head(stream: &mut TcpStream) -> Result<(Vec<u8>, Vec<u8>), FetchError> {
    let mut read = Vec::with_capacity(2048);
    loop {
        if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            let body = read.split_off(end + 4);
            return Ok((read, body));
        }
        if read.len() > HEAD_MOST {
            return Err(FetchError::Answer("its headers are too long"));
        }
        if stream.read_buf(&mut read).await? == 0 {
            return Err(FetchError::Answer("it ends within its headers"));
        }
    }
}

/// What status line and headers say.
#[derive(Debug, Default, PartialEq, Eq)]
struct Head {
    status: u16,
    length: Option<u64>,
    /// Of `Content-Range`: where the range begins, and the size of the file.
    from: Option<u64>,
    total: Option<u64>,
}

impl Head {
    fn read(text: &[u8]) -> Result<Self, FetchError> {
        let text = String::from_utf8_lossy(text);
        let mut lines = text.split("\r\n");
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1."));
        let status = status.and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let mut head =
            Self { status: status.ok_or(FetchError::Answer("its first line has no status"))?, ..Self::default() };
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => head.length = value.parse().ok(),
                "content-range" => (head.from, head.total) = range(value),
                "transfer-encoding" => return Err(FetchError::Answer("it has a transfer encoding")),
                _ => {}
            }
        }
        Ok(head)
    }
}

/// `bytes 0-99/1000`, `bytes */1000`, `bytes 0-99/*`.
fn range(value: &str) -> (Option<u64>, Option<u64>) {
    let Some((span, total)) = value.strip_prefix("bytes ").and_then(|rest| rest.split_once('/')) else {
        return (None, None);
    };
    (span.split('-').next().and_then(|from| from.trim().parse().ok()), total.trim().parse().ok())
}

/// The body, of which `skip` bytes are not wanted and `wanted` are. A server without ranges sends the file from its beginning.
async fn rest(
    stream: &mut TcpStream,
    mut body: Vec<u8>,
    skip: u64,
    wanted: u64,
    length: Option<u64>,
) -> Result<Vec<u8>, FetchError> {
    let until = length.map_or(u64::MAX, |length| length.min(skip.saturating_add(wanted)));
    let mut skipped = 0;
    let mut came = body.len() as u64;
    loop {
        let drop = (skip - skipped).min(body.len() as u64);
        body.drain(..drop as usize);
        skipped += drop;
        if came >= until || body.len() as u64 >= wanted {
            break;
        }
        let count = stream.read_buf(&mut body).await? as u64;
        if count == 0 {
            break;
        }
        came += count;
    }
    if length.is_some() && came < until {
        return Err(FetchError::Short { got: came, wanted: until });
    }
    body.truncate(wanted as usize);
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    /// A server that answers one request with `answer`; gives its URL.
    async fn server(answer: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/fw.bin?a=b#c", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (request, _) = head(&mut stream).await.unwrap();
            assert!(request.starts_with(b"GET /fw.bin?a=b HTTP/1.1\r\n"), "{}", String::from_utf8_lossy(&request));
            stream.write_all(answer).await.unwrap();
        });
        url
    }

    async fn fetched(answer: &'static [u8], start: u64, end: u64) -> Result<(Vec<u8>, Option<u64>), String> {
        let came = fetch(&server(answer).await, Span::new(start, end)).await;
        came.map(|fetched| (fetched.bytes, fetched.size)).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn ranges_come_from_servers_with_and_without_them() {
        let range = b"HTTP/1.1 206 Partial Content\r\nContent-Length: 3\r\ncontent-range: bytes 2-4/10\r\n\r\n234";
        assert_eq!(fetched(range, 2, 5).await, Ok((b"234".to_vec(), Some(10))));
        let whole = b"HTTP/1.0 200 OK\r\nContent-Length: 10\r\n\r\n0123456789";
        assert_eq!(fetched(whole, 2, 5).await, Ok((b"234".to_vec(), Some(10))));
        assert_eq!(fetched(whole, 8, 20).await, Ok((b"89".to_vec(), Some(10))));
        assert_eq!(fetched(b"HTTP/1.1 200 OK\r\n\r\n0123", 2, 9).await, Ok((b"23".to_vec(), None)));
        let past = b"HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */10\r\n\r\n";
        assert_eq!(fetched(past, 10, 14).await, Ok((vec![], Some(10))));
    }

    #[tokio::test]
    async fn whatever_else_comes_is_an_error_with_words() {
        for (answer, words) in [
            (&b"HTTP/1.1 404 Not Found\r\n\r\n"[..], "status 404"),
            (b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-2/10\r\n\r\n012", "another range"),
            (
                b"HTTP/1.1 206 Partial Content\r\nContent-Length: 3\r\nContent-Range: bytes 2-4/9\r\n\r\n2",
                "1 bytes of 3",
            ),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "transfer encoding"),
            (b"HTTP/1.1 200 OK\r\n", "ends within its headers"),
            (b"SSH-2.0-x\r\n\r\n", "no status"),
        ] {
            let error = fetched(answer, 2, 5).await.unwrap_err();
            assert!(error.contains(words), "{error}");
        }
        let long = vec![b'x'; HEAD_MOST + 4096].leak();
        assert!(fetched(long, 2, 5).await.unwrap_err().contains("too long"));
    }

    #[test]
    fn only_plain_http_addresses_are_taken() {
        assert_eq!(split("http://a:81/b?c#d"), Some(("a:81", "/b?c")));
        assert_eq!(split("http://a"), Some(("a", "/")));
        for url in
            ["", "https://a/b", "file:///etc/passwd", "http:///b", "http://u@a/b", "http://a/ b", "http://a/\r\nX: y"]
        {
            assert_eq!(split(url), None, "{url:?}");
        }
    }
}
