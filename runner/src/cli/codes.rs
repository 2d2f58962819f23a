//! What stable codes mean: for `explain`. Codes are never reused.

use packhorse_core::workflow;
use std::fmt;

/// A code with its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Code {
    pub(super) code: &'static str,
    pub(super) means: &'static str,
    pub(super) advice: &'static str,
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.code, self.means)?;
        if self.advice.is_empty() { Ok(()) } else { write!(formatter, "\n  what to do: {}", self.advice) }
    }
}

/// Looks a code up; case does not matter.
pub(super) fn find(text: &str) -> Option<Code> {
    let asked = text.to_ascii_uppercase();
    let own =
        CODES.iter().find(|(code, _, _)| *code == asked).map(|&(code, means, advice)| Code { code, means, advice });
    let of_runs = || {
        let &(code, means) = packhorse_core::run::CODES.iter().find(|(code, _)| *code == asked)?;
        Some(Code { code, means, advice: "`packhorse show RUN` tells which step it was and what it waited for" })
    };
    own.or_else(of_runs).or_else(|| {
        let &(code, means) = workflow::codes::CODES.iter().find(|(code, _)| *code == asked)?;
        Some(Code {
            code,
            means,
            advice: "mend the file where the message points; `packhorse validate` checks it again",
        })
    })
}

/// Code, meaning, advice.
const CODES: &[(&str, &str, &str)] = &[
    (
        "PH1001",
        "a port that an embedded service needs is taken",
        "stop the other program, or take a free port: --mqtt embedded://127.0.0.1:0",
    ),
    ("PH1002", "an embedded service cannot start", "the message names the address and the system's reason"),
    ("PH1003", "the data folder cannot be used", "check its rights, its disk and the room on it"),
    (
        "PH1004",
        "another process owns the data folder",
        "use `ps`, `show`, `explain`, `cancel` beside it, or another --data",
    ),
    ("PH1005", "the broker's URL cannot be read", "write mqtt://[USER:PASSWORD@]HOST[:PORT] or mqtts://…"),
    (
        "PH1006",
        "the broker cannot be reached, or refuses",
        "check address, user and password; or leave --mqtt out for the embedded one",
    ),
    (
        "PH1007",
        "a setting cannot be used",
        "the message names it; flags come before variables, these before packhorse.yaml",
    ),
    (
        "PH1008",
        "a command was interrupted before its end",
        "the message names the command that goes on, where there is one",
    ),
    (
        "PH1020",
        "the settings lead to no Redis server",
        "mend --redis, PACKHORSE_REDIS or `redis:` in packhorse.yaml; the message says what is wrong",
    ),
    (
        "PH1021",
        "the Redis server cannot be reached, or does not let us in",
        "start it, mend the URL or its password, or leave --redis out to use the embedded store",
    ),
    (
        "PH1022",
        "the journal on the Redis server is damaged",
        "restore the server from a backup; the message says what is damaged",
    ),
    (
        "PH1023",
        "the Redis server throws keys away when it is full",
        "set `maxmemory-policy noeviction` on it, or use --store embedded",
    ),
    (
        "PH1030",
        "the broker refuses the connection, or ended it with a reason",
        "the message names the reason code of MQTT 5 and what to do about it",
    ),
    (
        "PH1031",
        "TLS with the broker fails",
        "the message says whose certificate is wrong and why; ca_file, cert_file, key_file and tls_server_name are the settings",
    ),
    (
        "PH1032",
        "another client has our client id at the broker",
        "give each client its own mqtt.client_id, or leave it out; then `packhorse resume`",
    ),
    (
        "PH1034",
        "the packets of the run do not fit the broker",
        "set message_limit or packet_size lower, or raise the broker's maximum packet size; both numbers are in the message",
    ),
    (
        "PH2001",
        "a workflow file has problems",
        "each is listed with its place; `packhorse validate FILE` lists them again",
    ),
    ("PH2002", "there is no such workflow", "give a path, or a name from the workflows folder"),
    ("PH2003", "an expression for codec or vars gave no text", "make it a string"),
    ("PH2004", "a file cannot be read", "check the path and its rights"),
    ("PH2005", "the inputs do not fit the workflow", "the message lists what each input takes"),
    ("PH2010", "a workflow's file has another name than what is in it", "name the file NAME.yaml"),
    (
        "PH2011",
        "a file of devices has problems",
        "each is listed with its place; a daemon goes on with the last good content of the file",
    ),
    (
        "PH2012",
        "two files of devices have entries that can mean the same device, and neither is nearer",
        "write more characters out in one of the two, or name the devices that both mean by their ids",
    ),
    (
        "PH2013",
        "a file was being written, or judged, all the time that a reload waited for it",
        "write it beside the folder and rename it into its place; it counts as soon as it is the same twice",
    ),
    ("PH2006", "there is no such help topic", "`packhorse help` lists them"),
    ("PH4006", "a step ended by a bug of ours", "please report it with the message"),
    ("PH4011", "no stored file is known by this digest", "give a path or a fastdfs: id"),
    (
        "PH4012",
        "a downloaded file is not what the store said",
        "it is tried again; if it repeats, the stored file is damaged",
    ),
    ("PH4013", "a local file cannot be used", "check the path and its rights"),
    (
        "PH4120",
        "a pulled file has too many packets to be stored one file a packet",
        "leave `layout` out, or pull with a larger packet_size and message_limit",
    ),
    ("PH4101", "the file store has no such file", "it was deleted, or the id is wrong"),
    ("PH4102", "the file store cannot be reached", "it is tried again; check the tracker's address"),
    ("PH4103", "the file store refused an operation", "the message holds its status"),
    ("PH4104", "the file store has no room", "make room, then `packhorse resume`"),
    ("PH4105", "this is no uri of a file", "`file:/absolute/path` or `fastdfs:group1/M00/…`"),
    ("PH4106", "a local file cannot be read", "check the path and its rights, then `packhorse resume`"),
    (
        "PH4107",
        "source changed: the file is another one than when the run was created",
        "start a new run for the new file",
    ),
    ("PH4108", "bytes from the file store are damaged", "store the file again"),
    (
        "PH5001",
        "the device holds another file than was sent, by its own digest",
        "the next attempt sends it whole; if it repeats, storage or codec is at fault",
    ),
    ("PH5002", "the device refused the file", "its words are in the message"),
    ("PH5003", "the device has no room for the file", "free room on the device"),
    ("PH5004", "the device gave the transfer up", "its words are in the message"),
    ("PH5005", "the device reports a failure of its own", "its words are in the message"),
    (
        "PH5006",
        "the device contradicts itself: sizes that change, bytes beyond the end",
        "the device's firmware or the codec is at fault",
    ),
    ("PH5007", "the device asks without end", "its firmware takes no notice of the answers; look at what it gets"),
    ("PH5008", "the file is larger than may be taken", "the message names both sizes"),
    (
        "PH5009",
        "the file that came does not have the digest that the device told",
        "it is kept in DATA/quarantine and was not published",
    ),
    ("PH5010", "the codec says that the transfer cannot go on", "its words are in the message"),
    ("PH5011", "the codec has no words for something that its mode needs", "send it to the codec's vendor"),
    ("PH5012", "the device's file became another one too often", "pull it when the device does not write to it"),
    ("PH5013", "packet after packet arrives damaged or cannot be read", "look at the link, or at the codec's version"),
    (
        "PH5014",
        "the device asks for larger pieces than one packet can carry",
        "set its chunk size to what the message names, or raise what bounds it: codec, message_limit, or the broker",
    ),
    (
        "PH5040",
        "the traffic budget of a day or month with a device is spent",
        "it goes on by itself when the next one begins (UTC); a new run may have a larger budget",
    ),
    (
        "PH5041",
        "the traffic budget of a run with a device is spent",
        "`packhorse resume` grants the run the same budget once more; `packhorse cancel` ends it",
    ),
    (
        "PH5042",
        "a traffic budget is too small to get on with",
        "raise it to what the message says, or make packets smaller",
    ),
    ("PH5101", "packet size, window or message limit do not fit codec and broker", "both numbers are in the message"),
    ("PH5103", "the device's topics cannot be subscribed to", "check the broker's access list"),
    ("PH5104", "the spool cannot be written", "make room under the data folder, then `packhorse resume`"),
    ("PH5105", "this codec cannot ask a device what it holds", "leave transfer.verify out"),
    ("PH5106", "this codec cannot move files that way", "`packhorse plugin inspect` tells what it can"),
    ("PH5107", "the transfer cannot begin", "the message says why"),
    ("PH5301", "no answer came in time", "set `wait` longer, or look whether the other end listens"),
    (
        "PH5110",
        "the broker refuses publishes or a subscription",
        "let the broker's access list allow the topic that the message names, then `packhorse resume`",
    ),
    (
        "PH5111",
        "the broker that serves now takes smaller packets than the transfer sends",
        "raise its maximum packet size, or set message_limit lower in the workflow; both numbers are in the message",
    ),
    (
        "PH5112",
        "the device's will message said that it is gone: nothing was sent to it",
        "look at its power and connection; it goes on by itself when the device is heard, and tries in any case within 5 minutes",
    ),
    ("PH5302", "a message was refused", "the message says by whom and why"),
    (
        "PH6001",
        "the codec trapped three times in a transfer, or when it was opened",
        "its last words are in the message; send them to its vendor; `packhorse plugin repin` moves a run to a mended build. With a third device it is quarantined (PH6007)",
    ),
    ("PH6002", "the codec cannot be loaded or refuses the transfer", "its words are in the message"),
    ("PH6003", "the codec's message has no topic", "send it to the codec's vendor"),
    (
        "PH6004",
        "neither the workflow nor the device's entry names a codec",
        "write `codec: NAME` in one of the two, or run it with --codec NAME",
    ),
    (
        "PH6005",
        "the codec that the run is pinned to is gone",
        "`packhorse plugin repin` moves the run to a build that is there, or start a new one",
    ),
    (
        "PH6006",
        "a codec cannot be found, built or read",
        "the message says which; `packhorse plugin list` lists what there is",
    ),
    (
        "PH6020",
        "a file of the plugins folder holds an older version than the one of it that counts",
        "say which version is meant with `packhorse plugin pin`, or allow it with `allow_downgrade` in packhorse.yaml",
    ),
    (
        "PH6021",
        "a plugin's file is not signed by one of the keys in plugin_keys",
        "lay the vendor's NAME.wasm.minisig beside it (`minisign -Sm NAME.wasm` makes one), or add the vendor's public key to plugin_keys",
    ),
    (
        "PH6010",
        "the run cannot be moved to that codec: it speaks through none, or through another one than was named",
        "`packhorse show RUN` tells its codec; it is moved to another build of that codec only, whose name is the same",
    ),
    (
        "PH6011",
        "a SHA-256, or its first digits, means no codec or more than one",
        "give eight digits or more; `packhorse plugin inspect NAME` tells the digest of a file, `packhorse show RUN` that of a run",
    ),
    ("PH6009", "a plugin fails its own vectors and was not loaded", "`packhorse plugin test NAME` shows what differs"),
    (
        "PH6007",
        "the plugin is quarantined: its traps ended what it did with three devices",
        "a mended file is another plugin: build it, and start a new run, or move this one to it, `packhorse plugin repin`; or try the same bytes again, `packhorse plugin release NAME|DIGEST`, then `packhorse resume RUN`",
    ),
    (
        "PH6101",
        "a step plugin says that it failed, without a code of its own",
        "its words are in the message; its vendor knows what they mean",
    ),
    (
        "PH6102",
        "a step plugin was stopped, or what it gave cannot be used",
        "send the message, with its last words, to the plugin's vendor",
    ),
    (
        "PH6103",
        "a step plugin cannot be loaded, or needs what it was not granted",
        "the message names the file or the setting in packhorse.yaml; then `packhorse resume RUN`, where there is a run",
    ),
    ("PH6104", "the step plugin that the run is pinned to is gone", "start a new run"),
    ("PH7001", "a key holds another kind of value", "use another key"),
    ("PH7002", "the store cannot do it now", "it is tried again; look at the disk"),
    (
        "PH7010",
        "a key of the Redis server holds what no workflow can hold",
        "values must be UTF-8 text and not too large; the message says which key it is",
    ),
    (
        "PH7011",
        "it is not known whether the Redis server carried an operation out",
        "the connection was lost before the answer; look at the key: a retry of the step does it again",
    ),
    (
        "PH7012",
        "the Redis server refuses the operation",
        "the message has its words: give the user the right to it, or use another server; then `packhorse resume RUN`",
    ),
    (
        "PH7013",
        "the store has lost writes that it had confirmed, or a commit failed",
        "nothing more was begun; `packhorse resume RUN` goes on from what is known, and asks the devices where they are",
    ),
    (
        "PH7016",
        "the disk is nearly full: what is left belongs to runs under way",
        "free disk space, or lower `store: { reserve: … }` in packhorse.yaml; `packhorse gc` forgets old runs",
    ),
    (
        "PH7017",
        "the Redis server of the journal is nearly full: what is left belongs to runs under way",
        "`packhorse gc` forgets old runs as long as the server takes writes; or raise `maxmemory` on it",
    ),
    ("PH8001", "the process that owns the data folder does not answer", "is it stopped? Look at its terminal"),
    ("PH8002", "a question to the control socket cannot be read", "use the same version of packhorse on both sides"),
    ("PH8003", "there is no such run or device, or more than one", "`packhorse ps -a` lists runs"),
    ("PH8004", "the run cannot do that now", "`packhorse show RUN` tells its status"),
    ("PH8005", "a run's journal cannot be read", "use the version of packhorse that wrote it"),
    (
        "PH8006",
        "no daemon works on the data folder",
        "start one with `packhorse serve`, or name its folder with --data",
    ),
    ("PH8010", "doctor: the broker cannot be reached", "start it, or look at address, user, password and certificates"),
    ("PH8011", "doctor: no message comes through the broker", "look at its access list"),
    (
        "PH8012",
        "doctor: a question and its answer through the broker take long; near 40 ms TCP_NODELAY is off at the broker",
        "for mosquitto: `set_tcp_nodelay true` in mosquitto.conf",
    ),
    ("PH8013", "doctor: the broker's limits are small for transfers", "raise them; the figures are in the message"),
    ("PH8014", "doctor: trackers of the file store do not answer", "start them, or look at their addresses"),
    ("PH8015", "doctor: a file cannot be stored, read and deleted", "look at the storage's log, disk and address"),
    ("PH8016", "doctor: the file store has little room", "make room on its disks"),
    (
        "PH8017",
        "doctor: the Redis server cannot be reached, or does not do as it should",
        "start it, or look at its address, user and password",
    ),
    ("PH8018", "doctor: the Redis server may lose what is kept there, is full or slow", "the message says what to set"),
    ("PH8019", "doctor: the clock is wrong", "set it, best by NTP"),
    (
        "PH8020",
        "doctor: the clock lies before the last record of the journal (clock_behind)",
        "set it, best by NTP; until it has caught up, waits are moved and some devices ignore new transfers",
    ),
    ("PH8021", "doctor: the disk of the data folder has little room", "make room"),
    ("PH8022", "doctor: durable writes are slow", "put the data folder on a faster disk"),
    ("PH8023", "doctor: rights of a folder are wrong", "the message names folder, mode and owner; chmod 700, or chown"),
    ("PH8024", "doctor: a codec cannot be loaded", "`packhorse plugin inspect NAME` tells why"),
    ("PH8025", "doctor: a workflow is not valid", "`packhorse validate` lists every problem"),
    ("PH8026", "doctor: the journal cannot be opened", "copy the data folder, then restore a backup"),
    ("PH8401", "the API knows no such path, method or name", "`packhorse openapi` prints what it knows"),
    ("PH8402", "a request to the API cannot be read", "the message says what is expected"),
    ("PH8403", "another request with the same idempotency key is under way", "ask again in a moment"),
    ("PH8404", "the API wants a token that is known and has not expired", "send `Authorization: Bearer TOKEN`"),
    (
        "PH8405",
        "the token does not allow it, or there are no tokens and the request is not this machine's",
        "`packhorse token NAME --scope SCOPE` makes one that does",
    ),
    ("PH8406", "too many event streams are open", "end some, or ask for the journal in pages"),
    ("PH8407", "an answer of the API took too long", "look at the log of the daemon, its disk and its Redis server"),
    ("PH8408", "a token cannot be made like this", "the message says what is expected"),
    ("PH8409", "an idempotency key was used for another request", "a new request needs a new key"),
    (
        "PH8410",
        "a local file or path was named over HTTP",
        "store the file first and name it by fastdfs:, md5: or sha256:",
    ),
    (
        "PH8412",
        "more requests come to the API with one token, or from one address, than its rate limit allows",
        "ask less often; `serve: { rate_limit: … }` in packhorse.yaml of the daemon says how often, or `off`",
    ),
    ("PH8413", "the body of a request to the API did not come in time", "send it faster, or over a better line"),
    (
        "PH8420",
        "the daemon that --server names cannot be reached, or its answer did not come",
        "look whether it runs and listens for other machines, and at URL, certificates and proxies between",
    ),
    (
        "PH8421",
        "--server, or the token that goes with it, cannot be used",
        "a URL is `https://HOST[:PORT]`; a token is given by --token-file, PACKHORSE_TOKEN_FILE or PACKHORSE_TOKEN",
    ),
    (
        "PH8422",
        "what answers where --server points is no daemon that this program understands",
        "look at host, port and http:// or https://; use the same version of packhorse on both sides",
    ),
    (
        "PH8423",
        "a command is done on the daemon's own machine alone: the API has nothing for it",
        "do it there; `--server local` means this machine whatever PACKHORSE_SERVER and packhorse.yaml say",
    ),
    ("PH8411", "the API may not listen for other machines without tokens", "`packhorse token NAME` makes one"),
    (
        "PH8501",
        "a message or request to a trigger is too large",
        "a payload has 64 KiB at the most; put files into the file store and name them",
    ),
    (
        "PH8502",
        "messages come to a trigger faster than it may start runs, and more wait than there is room for",
        "raise `max_rate` of the trigger, or find out who sends so much: a run that publishes to its own trigger's topic does",
    ),
    ("PH8503", "there is no such trigger", "`packhorse triggers` lists them; the workflow must be loaded"),
    ("PH8504", "a trigger of kind http may start no more runs now", "wait, or raise `max_rate` of the trigger"),
    ("PH8505", "there is no such dead letter", "`packhorse dead-letters` lists them; only the newest 1000 are kept"),
    (
        "PH8506",
        "a dead letter cannot be tried again: only its beginning was kept",
        "send the message again; `packhorse dead-letters drop ID` throws the letter away",
    ),
    ("PH8507", "the folder of a trigger cannot be looked at", "make it, or check its rights"),
    (
        "PH8508",
        "a message on a device's status topic is no text, or too long",
        "look at what the device publishes there, and at `presence` of its entry",
    ),
    ("PH8030", "the list of --each cannot be used", "one device a line; `#` begins a comment"),
    (
        "PH8040",
        "the concurrency group of a new run is full, and its workflow says `on_conflict: reject`",
        "start it again when the run that the message names is over",
    ),
    ("PH8041", "too many holds stand", "`packhorse holds` lists them, `packhorse release` ends some"),
    ("PH8042", "there is no such hold", "`packhorse holds` lists them"),
    ("PH9001", "a bug of ours", "please report it with the message"),
    ("PH9002", "a bug of ours", "please report it with the message"),
    (
        "PH9010",
        "the variable PACKHORSE_FAILPOINT, which is for tests, is set to nothing that exists",
        "unset PACKHORSE_FAILPOINT and PACKHORSE_FAILPOINT_HITS",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_found_in_any_case() {
        let mut codes: Vec<_> = CODES.iter().map(|(code, _, _)| code).collect();
        codes.sort_unstable();
        let count = codes.len();
        codes.dedup();
        assert_eq!(codes.len(), count);
        assert_eq!(find("ph4107").map(|code| code.code), Some("PH4107"));
        assert!(find("PH0207").is_some() && find("PH4001").is_some(), "codes of workflows and runs are known too");
        assert!(find("run_x").is_none());
    }
}
