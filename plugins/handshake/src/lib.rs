//! The step plugin `handshake`: a device's challenge is answered, and both sides then have a session key that nobody sent.
//!
//! `README.md` in this folder is the protocol. `proof` computes; here is what is said to whom.

mod proof;

use packhorse_step::{Failure, Input, mqtt, redis};
use proof::Secret;
use serde_json::{Value, json};

packhorse_step::step!(run);

/// How long each answer of the device is waited for, in milliseconds.
const PATIENCE: u32 = 30_000;
/// How long a session key is kept where the step does not say it, in seconds.
const LIFETIME: u64 = 3600;
/// A shorter challenge could be guessed.
const SHORTEST_CHALLENGE: usize = 16;

fn run(input: Input) -> Result<String, Failure> {
    let device = input.device.ok_or_else(|| Failure::permanent("NO_DEVICE", "the workflow has no input `device`"))?;
    let lifetime = lifetime(&input.json)?;
    let secret = secret(&device)?;
    let challenge = challenge(&device, &json!({ "run": input.run, "attempt": input.attempt }))?;
    let session = secret.session(&challenge);
    let proof = json!({ "proof": proof::hex(&secret.proof(&challenge, &input.run)) });
    let verdict = ask(&device, "proof", &proof, "verdict")?;
    if verdict["ok"] != true {
        let why = verdict["reason"].as_str().unwrap_or("it gives no reason");
        return Err(Failure::permanent("NOT_TRUSTED", format!("device {device} refuses the answer: {why}")));
    }
    if !session.confirms(verdict["check"].as_str().unwrap_or_default()) {
        let message = format!("device {device} does not know the secret either: its check is wrong");
        return Err(Failure::permanent("DEVICE_NOT_TRUSTED", message));
    }
    let key = format!("handshake:{device}:session");
    redis::set(&key, &proof::hex(session.key()), Some(lifetime.saturating_mul(1000)))?;
    // Where the key is, and not the key: outputs stand in the journal.
    Ok(json!({ "session": key, "lifetime": lifetime }).to_string())
}

fn lifetime(input: &str) -> Result<u64, Failure> {
    let input: Value = serde_json::from_str(input).unwrap_or_default();
    match &input["lifetime"] {
        Value::Null => Ok(LIFETIME),
        given => given
            .as_u64()
            .filter(|seconds| *seconds > 0)
            .ok_or_else(|| Failure::permanent("BAD_INPUT", format!("`lifetime` is {given}, and no number of seconds"))),
    }
}

fn secret(device: &str) -> Result<Secret, Failure> {
    let key = format!("handshake:{device}:secret");
    let text = redis::get(&key)?.ok_or_else(|| {
        Failure::permanent("NO_SECRET", format!("there is no secret for device {device}: put it, in hex, under {key}"))
    })?;
    Secret::from_hex(&text).ok_or_else(|| Failure::permanent("NO_SECRET", format!("what lies under {key} is no hex")))
}

fn challenge(device: &str, hello: &Value) -> Result<Vec<u8>, Failure> {
    let said = ask(device, "hello", hello, "challenge")?;
    let challenge = said["challenge"].as_str().and_then(proof::bytes).unwrap_or_default();
    if challenge.len() < SHORTEST_CHALLENGE {
        let message = format!("the challenge of device {device} has {} bytes: it could be guessed", challenge.len());
        return Err(Failure::permanent("WEAK_CHALLENGE", message));
    }
    Ok(challenge)
}

fn ask(device: &str, question: &str, payload: &Value, answer: &str) -> Result<Value, Failure> {
    let (ask, tell) = (format!("handshake/{device}/{question}"), format!("handshake/{device}/{answer}"));
    let said = mqtt::request(&ask, payload.to_string().as_bytes(), &tell, PATIENCE)?;
    let said = said.ok_or_else(|| {
        Failure::device_offline("SILENT", format!("device {device} does not answer its {question} on {tell}"))
    })?;
    serde_json::from_slice(&said.payload)
        .map_err(|error| Failure::permanent("GIBBERISH", format!("device {device} says no JSON on {tell}: {error}")))
}
