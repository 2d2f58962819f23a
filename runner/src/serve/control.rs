//! The control socket: one JSON line a question, one JSON line an answer, on a socket that only its owner can open.

use super::audit::Audit;
use packhorse_core::admission::Priority;
use packhorse_core::failure::{Class, Failure};
use packhorse_core::hex;
use packhorse_core::run::FirstMessage;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

/// Name of the socket in the data folder.
pub const SOCKET: &str = "control.sock";
/// Longest question in bytes.
const QUESTION: u64 = 64 * 1024;
/// Longest answer in bytes.
const ANSWER: u64 = 64 << 20;
/// Terminals that may ask at once.
const CLIENTS: usize = 64;
/// How long either side may be silent.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same where a file of gigabytes is read first, or a large plugin compiled.
const LONG: Duration = Duration::from_secs(1_800);
/// How long a process that ends waits for answers under way.
const GRACE: Duration = Duration::from_secs(1);

/// A question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Question {
    /// Runs, newest first.
    List {
        /// Finished ones too.
        all: bool,
        /// At most so many.
        limit: usize,
    },
    /// One run.
    Show {
        /// Its id or the beginning of it.
        run: String,
    },
    /// What is known of a run or a device.
    Explain {
        /// Run or device.
        subject: String,
    },
    /// Ends a run.
    Cancel {
        /// Its id or the beginning of it.
        run: String,
        /// For the journal.
        reason: String,
    },
    /// Parks a run until it is resumed.
    Pause {
        /// Its id or the beginning of it.
        run: String,
    },
    /// Goes on with a paused run.
    Resume {
        /// Its id or the beginning of it.
        run: String,
    },
    /// Continues a failed run at the failed step.
    Retry {
        /// Its id or the beginning of it.
        run: String,
    },
    /// Moves runs to another build of their codec.
    Repin {
        /// Their ids or the beginnings of them.
        runs: Vec<String>,
        /// SHA-256 of what they are pinned to, or its beginning.
        from: String,
        /// The same of what they are to be pinned to, or its name.
        to: String,
    },
    /// Starts a run of a workflow that a daemon knows.
    Start(Start),
    /// Journal records of a run.
    Records {
        /// Its id or the beginning of it.
        run: String,
        /// From this number on; the first is 0.
        from: u64,
    },
    /// Has the folders looked at again.
    Reload,
    /// What is registered of devices.
    Devices {
        /// One device; without it, every entry.
        id: Option<String>,
    },
    /// What starts runs by itself.
    Triggers,
    /// What no run could be made of.
    Letters {
        /// What is wished.
        wish: LetterWish,
        /// Of which one; of no weight for the list.
        #[serde(default)]
        id: u64,
    },
    /// Holds runs.
    Hold {
        /// Which.
        selector: String,
        /// For people.
        #[serde(default)]
        reason: Option<String>,
        /// Who asks, for the log.
        by: String,
    },
    /// Ends holds.
    Release {
        /// An id or a selector; all where absent.
        #[serde(default)]
        which: Option<String>,
        /// Who asks, for the log.
        by: String,
    },
    /// Lists holds.
    Holds,
}

impl Question {
    /// Whether it wants something changed, and is a matter of the audit.
    fn changes(&self) -> bool {
        !matches!(
            self,
            Self::List { .. }
                | Self::Show { .. }
                | Self::Explain { .. }
                | Self::Records { .. }
                | Self::Devices { .. }
                | Self::Triggers
                | Self::Letters { wish: LetterWish::List | LetterWish::Show, .. }
                | Self::Holds
        )
    }

    /// How long its answer may take: files are read and plugins compiled for some.
    const fn patience(&self) -> Duration {
        match self {
            Self::Start(_) | Self::Reload | Self::Repin { .. } => LONG,
            _ => PATIENCE,
        }
    }

    /// Its name, and what it is about: no values of inputs and variables.
    fn told(&self) -> (String, Map<String, Value>) {
        let Ok(Value::Object(mut about)) = serde_json::to_value(self) else { return Default::default() };
        let call = about.remove("do").and_then(|call| call.as_str().map(str::to_owned)).unwrap_or_default();
        about.retain(|key, value| {
            !["inputs", "vars", "folder", "idempotency_key"].contains(&key.as_str()) && !value.is_null()
        });
        (call, about)
    }
}

/// What can be wished of dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the words say it")]
pub enum LetterWish {
    List,
    Show,
    Drop,
    Retry,
}

/// What is to be run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// Name of the workflow.
    pub workflow: String,
    /// Inputs as text, as `-i` has them.
    #[serde(default)]
    pub inputs: BTreeMap<String, String>,
    /// Another codec than the workflow names.
    #[serde(default)]
    pub codec: Option<String>,
    /// Variables for the codec.
    #[serde(default)]
    pub vars: BTreeMap<String, String>,
    /// Another priority than the workflow says.
    #[serde(default)]
    pub priority: Option<Priority>,
    /// From where relative files count; without it, none may be named.
    #[serde(default)]
    pub folder: Option<PathBuf>,
    /// One run for all questions with this key; see [`is_key`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// Root `trigger` of the run's expressions; never from a question: who asks cannot say that a trigger does.
    #[serde(skip)]
    pub trigger: Value,
    /// The message that asks for the run; never from a question either.
    #[serde(skip)]
    pub message: Option<FirstMessage>,
}

impl Start {
    /// SHA-256 in hex of what is asked for: who comes with the same key must ask for the same.
    pub fn digest(&self) -> String {
        let asked = Self { idempotency_key: None, ..self.clone() };
        // A struct of texts: there is nothing in it that JSON cannot hold.
        hex::encode(&Sha256::digest(serde_json::to_vec(&asked).unwrap_or_default()))
    }
}

/// Whether a text can be an idempotency key: 1 to 255 visible ASCII characters.
pub fn is_key(text: &str) -> bool {
    (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// An answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Ok(Value),
    Error(Failure),
}

/// Answers a question.
pub type Answerer =
    Arc<dyn Fn(Question) -> Pin<Box<dyn Future<Output = Result<Value, Failure>> + Send>> + Send + Sync + 'static>;

/// The listening socket; dropping it stops listening and removes the file.
#[derive(Debug)]
pub struct Control {
    path: PathBuf,
    task: tokio::task::JoinHandle<()>,
    places: Arc<Semaphore>,
}

impl Control {
    /// Listens in `folder`, which the caller has locked: a socket that is there already is a dead one's.
    pub fn listen(folder: &Path, answerer: Answerer, audit: Arc<Audit>) -> io::Result<Self> {
        let path = folder.join(SOCKET);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        let places = Arc::new(Semaphore::new(CLIENTS));
        let task = tokio::spawn(accept(listener, Answering { answerer, audit }, Arc::clone(&places)));
        Ok(Self { path, task, places })
    }

    /// Stops listening and lets those who have asked hear their answers, within a limit: whoever pauses a run ends its process.
    pub async fn finish(self) {
        self.task.abort();
        let all = self.places.acquire_many(u32::try_from(CLIENTS).unwrap_or(u32::MAX));
        drop(tokio::time::timeout(GRACE, all).await);
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.task.abort();
        drop(std::fs::remove_file(&self.path));
    }
}

/// What a client meets.
#[derive(Clone)]
struct Answering {
    answerer: Answerer,
    audit: Arc<Audit>,
}

impl Answering {
    /// Answers, and writes down what was changed.
    async fn answer(&self, question: Question, by: &str) -> Answer {
        let told = question.changes().then(|| question.told());
        let answer = (self.answerer)(question).await;
        if let (Ok(value), Some((call, mut about))) = (&answer, told) {
            // Which run was begun.
            if let Some(run) = value.get("run") {
                about.insert("run".to_owned(), run.clone());
            }
            self.audit.note(by, &call, &Value::Object(about));
        }
        answer.map_or_else(Answer::Error, Answer::Ok)
    }
}

async fn accept(listener: UnixListener, answering: Answering, places: Arc<Semaphore>) {
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let answering = answering.clone();
                tokio::spawn(async move {
                    let served = serve(stream, answering).await;
                    tracing::debug!(?served, "control client left");
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a control client");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(mut stream: UnixStream, answering: Answering) -> io::Result<()> {
    let by = stream.peer_cred().map_or_else(|_| "local".to_owned(), |peer| format!("local:{}", peer.uid()));
    let (reader, mut writer) = stream.split();
    let line = in_time(line(reader, QUESTION)).await?;
    let answer = match serde_json::from_str::<Question>(&line) {
        Ok(question) => answered(answering, question, by).await,
        Err(error) => Answer::Error(Failure::new("PH8002", Class::Permanent, format!("unknown question: {error}"))),
    };
    let mut text = serde_json::to_string(&answer)?;
    text.push('\n');
    in_time(async {
        writer.write_all(text.as_bytes()).await?;
        writer.shutdown().await
    })
    .await
}

/// The answer, in time. What was begun is carried out and written down in any case: whoever asked may leave.
async fn answered(answering: Answering, question: Question, by: String) -> Answer {
    let patience = question.patience();
    let task = tokio::spawn(async move { answering.answer(question, &by).await });
    match tokio::time::timeout(patience, task).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => Answer::Error(Failure::new("PH9002", Class::Bug, format!("a bug: {error}"))),
        Err(_) => Answer::Error(Failure::new("PH8001", Class::Operator, "the process is busy; it may still do it")),
    }
}

async fn in_time<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(PATIENCE, work).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

async fn line(reader: impl AsyncRead + Unpin, most: u64) -> io::Result<String> {
    let mut text = String::new();
    BufReader::new(reader.take(most)).read_line(&mut text).await?;
    if text.ends_with('\n') {
        Ok(text)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, "line too long or cut off"))
    }
}

/// Whether a process listens in the data folder.
pub async fn is_heard(folder: &Path) -> bool {
    UnixStream::connect(folder.join(SOCKET)).await.is_ok()
}

/// Asks whoever owns the data folder. `Ok(None)`: nobody listens there.
pub async fn ask(folder: &Path, question: &Question) -> Result<Option<Value>, Failure> {
    let path = folder.join(SOCKET);
    let stream = match UnixStream::connect(&path).await {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(error) => return Err(broken(&path, &error)),
    };
    // A little longer than the other side takes to say that it takes too long.
    let answer = tokio::time::timeout(question.patience() + GRACE, exchange(stream, question)).await;
    let text = answer.map_err(|_| broken(&path, &"no answer"))?.map_err(|error| broken(&path, &error))?;
    match serde_json::from_str(&text).map_err(|error| broken(&path, &error))? {
        Answer::Ok(value) => Ok(Some(value)),
        Answer::Error(failure) => Err(failure),
    }
}

async fn exchange(mut stream: UnixStream, question: &Question) -> io::Result<String> {
    let (reader, mut writer) = stream.split();
    let mut text = serde_json::to_string(question)?;
    text.push('\n');
    writer.write_all(text.as_bytes()).await?;
    line(reader, ANSWER).await
}

fn broken(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::new("PH8001", Class::Operator, format!("cannot ask the process behind {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answerer() -> Answerer {
        Arc::new(|question| {
            Box::pin(async move {
                match question {
                    Question::Show { run } => Ok(Value::String(run)),
                    _ => Err(Failure::new("PH0000", Class::Permanent, "no")),
                }
            })
        })
    }

    fn audit(folder: &Path) -> Arc<Audit> {
        Arc::new(Audit::open(folder, || packhorse_core::run::WallTime(1)).unwrap())
    }

    #[test]
    fn what_changes_something_is_told_without_values() {
        let inputs = [("image".to_owned(), "secret".to_owned())].into();
        let start = Question::Start(Start { workflow: "ota".into(), inputs, ..Start::default() });
        let (call, about) = start.told();
        assert!(start.changes() && call == "start" && about["workflow"] == "ota", "{about:?}");
        assert!(!serde_json::to_string(&about).unwrap().contains("secret"));
        assert!(!Question::Holds.changes() && !Question::Show { run: "x".into() }.changes());
    }

    #[tokio::test]
    async fn questions_are_answered_and_the_socket_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let control = Control::listen(folder.path(), answerer(), audit(folder.path())).unwrap();
        let mode = std::fs::metadata(folder.path().join(SOCKET)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let answer = ask(folder.path(), &Question::Show { run: "run_1".into() }).await.unwrap();
        assert_eq!(answer, Some(Value::String("run_1".into())));
        let refused = ask(folder.path(), &Question::Pause { run: "x".into() }).await.unwrap_err();
        assert_eq!(refused.code, "PH0000");
        drop(control);
        assert_eq!(ask(folder.path(), &Question::Show { run: "x".into() }).await.unwrap(), None);
    }

    #[tokio::test]
    async fn garbage_gets_an_error_and_the_next_client_is_served() {
        let folder = tempfile::tempdir().unwrap();
        let _control = Control::listen(folder.path(), answerer(), audit(folder.path())).unwrap();
        let mut stream = UnixStream::connect(folder.path().join(SOCKET)).await.unwrap();
        stream.write_all(b"{\"do\": 7}\n").await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert!(text.contains("PH8002"), "{text}");
        assert!(ask(folder.path(), &Question::Show { run: "y".into() }).await.unwrap().is_some());
    }
}
