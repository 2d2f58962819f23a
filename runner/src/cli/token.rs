//! `token`: makes a token for the daemon's API; `openapi`: prints what the API is.

use super::args::TokenArgs;
use super::print::{self, Show};
use crate::app::exit::{Exit, Stop};
use crate::serve::http::{Scope, document, hashed};
use packhorse_core::hex;
use packhorse_core::workflow::units;
use rand::RngCore as _;
use serde_json::json;

/// Random bytes of a token.
const BYTES: usize = 32;

pub(super) fn token(args: TokenArgs, show: Show) -> Result<Exit, Stop> {
    let usage = |why: String| Stop::usage("PH8408", why);
    if args.name.is_empty() || args.name.contains(char::is_control) {
        return Err(usage("a token needs a name without control characters".to_owned()));
    }
    let scopes = args.scopes.iter().map(|text| text.parse::<Scope>()).collect::<Result<Vec<_>, _>>().map_err(usage)?;
    let scopes = if scopes.is_empty() { Scope::ALL.to_vec() } else { scopes };
    let scopes: Vec<&str> = scopes.into_iter().map(Scope::name).collect();
    let expires = args
        .expires
        .map(|text| units::duration(&text).map_err(|_| usage(format!("`{text}` is no length of time such as 90d"))));
    let expires = expires.transpose()?.map(|time| crate::store::wall().after(time).to_rfc3339());
    let mut bytes = [0; BYTES];
    rand::rng().fill_bytes(&mut bytes);
    let token = format!("ph_{}", hex::encode(&bytes));
    let sha256 = hex::encode(&hashed(&token));
    let entry = json!({ "name": args.name, "sha256": sha256, "scopes": scopes, "expires": expires });
    show.result(&json!({ "token": token, "entry": entry }), || token.clone());
    let end = expires.map_or_else(String::new, |end| format!(", expires: {end}"));
    show.note(&format!(
        "it is not kept anywhere. For packhorse.yaml:\nserve:\n  tokens:\n    - {{ name: {}, sha256: {sha256}, scopes: [{}]{end} }}",
        json!(args.name),
        scopes.iter().map(|scope| format!("'{scope}'")).collect::<Vec<_>>().join(", ")
    ));
    Ok(Exit::Succeeded)
}

pub(super) fn openapi() -> Result<Exit, Stop> {
    let text = serde_json::to_string_pretty(&document()).map_err(|error| Stop::bug(error.to_string()))?;
    print::write_out(&text);
    Ok(Exit::Succeeded)
}
