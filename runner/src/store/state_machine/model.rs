//! The model beside which all stores play, and the acts that are drawn.

use crate::store::contract::LONG;
use crate::store::row;
use packhorse_core::effect::KvRequest;
use proptest::prelude::*;
use proptest_state_machine::ReferenceStateMachine;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

pub(super) const RUNS: u32 = 5;

/// One thing that is done to every store.
#[derive(Debug, Clone)]
pub(super) enum Act {
    Claim { run: u32, owner: u8, ttl: u64 },
    Append(Vec<Piece>),
    Forget { run: u32, token: Pick },
    PutObject(u8),
    RemoveObject { object: u8, back: u64 },
    Key(KvRequest),
    Wait(u64),
    Reopen,
}

/// One append; token and place as they should be, or not.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub(super) run: u32,
    pub(super) token: Pick,
    pub(super) place: Pick,
    pub(super) facts: u8,
    pub(super) checkpoint: bool,
    pub(super) finished: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Pick {
    Right,
    Before,
    After,
}

impl Pick {
    pub(super) fn of(self, right: u64) -> u64 {
        match self {
            Self::Right => right,
            Self::Before => right.saturating_sub(1),
            Self::After => right + 1,
        }
    }
}

/// What every store should be, told as plainly as can be.
#[derive(Debug, Clone, Default)]
pub(super) struct Model {
    /// In seconds.
    pub(super) now: u64,
    pub(super) runs: BTreeMap<u32, ModelRun>,
    objects: BTreeMap<u8, u64>,
    keys: BTreeMap<String, (ModelValue, Option<u64>)>,
    acts: u64,
    /// What the last act should have told.
    pub(super) told: Vec<String>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct ModelRun {
    pub(super) token: u64,
    owner: u8,
    until: u64,
    pub(super) facts: Vec<String>,
    finished: bool,
    checkpoint: Option<String>,
}

#[derive(Debug, Clone)]
enum ModelValue {
    Text(String),
    Hash(BTreeMap<String, String>),
    Stream,
}

impl Model {
    fn claim(&mut self, number: u32, owner: u8, ttl: u64) -> String {
        let now = self.now;
        let known = self.runs.entry(number).or_default();
        if known.token > 0 && known.owner != owner && known.until > now {
            return format!("held by {}", known.owner);
        }
        (known.token, known.owner, known.until) = (known.token + 1, owner, now + ttl);
        format!("token {}", known.token)
    }

    fn append(&mut self, piece: &Piece, text: &str) -> String {
        let known = self.runs.get(&piece.run).cloned().unwrap_or_default();
        if known.token == 0 || piece.token.of(known.token) != known.token {
            return "fenced".to_owned();
        }
        let place = piece.place.of(known.facts.len() as u64);
        if piece.facts > 0 && place != known.facts.len() as u64 {
            return format!("conflict {place} {}", known.facts.len());
        }
        let run = self.runs.entry(piece.run).or_default();
        run.facts.extend((0..piece.facts).map(|fact| format!("{text} {fact}")));
        if piece.facts > 0 {
            run.finished = piece.finished;
        }
        if piece.checkpoint {
            run.checkpoint = Some(text.to_owned());
        }
        format!("now {}", run.facts.len())
    }

    fn forget(&mut self, number: u32, token: Pick) -> String {
        match self.runs.get(&number).filter(|run| run.token > 0 && token.of(run.token) == run.token) {
            None => "fenced".to_owned(),
            Some(run) if !run.finished => "unfinished".to_owned(),
            Some(_) => {
                self.runs.remove(&number);
                "forgotten".to_owned()
            }
        }
    }

    fn value(&mut self, key: &str) -> Option<&mut (ModelValue, Option<u64>)> {
        let now = self.now;
        if self.keys.get(key).is_some_and(|(_, expires)| expires.is_some_and(|expires| expires <= now)) {
            self.keys.remove(key);
        }
        self.keys.get_mut(key)
    }

    fn key(&mut self, request: &KvRequest) -> String {
        let now = self.now;
        let seconds = |time: &Duration| time.as_secs() / LONG;
        let wrong = || "wrong type".to_owned();
        match request {
            KvRequest::Get { key } => match self.value(key) {
                None => "null".to_owned(),
                Some((ModelValue::Text(text), _)) => json!(text).to_string(),
                Some(_) => wrong(),
            },
            KvRequest::Set { key, value, expire } => {
                let expires = expire.as_ref().map(|time| now + seconds(time));
                self.keys.insert(key.clone(), (ModelValue::Text(value.clone()), expires));
                "null".to_owned()
            }
            KvRequest::Del { key } => {
                let was = self.value(key).is_some();
                self.keys.remove(key);
                i64::from(was).to_string()
            }
            KvRequest::Incr { key, by } => match self.value(key) {
                None => {
                    self.keys.insert(key.clone(), (ModelValue::Text(by.to_string()), None));
                    by.to_string()
                }
                Some((ModelValue::Text(text), _)) => match text.parse::<i64>().ok().and_then(|n| n.checked_add(*by)) {
                    Some(sum) => {
                        *text = sum.to_string();
                        sum.to_string()
                    }
                    None => "not an integer".to_owned(),
                },
                Some(_) => wrong(),
            },
            KvRequest::Hset { key, field, value } => {
                if self.value(key).is_none() {
                    self.keys.insert(key.clone(), (ModelValue::Hash(BTreeMap::new()), None));
                }
                match self.value(key) {
                    Some((ModelValue::Hash(hash), _)) => {
                        i64::from(hash.insert(field.clone(), value.clone()).is_none()).to_string()
                    }
                    _ => wrong(),
                }
            }
            KvRequest::Hget { key, field } => match self.value(key) {
                None => "null".to_owned(),
                Some((ModelValue::Hash(hash), _)) => json!(hash.get(field)).to_string(),
                Some(_) => wrong(),
            },
            KvRequest::Hgetall { key } => match self.value(key) {
                None => "{}".to_owned(),
                Some((ModelValue::Hash(hash), _)) => json!(hash).to_string(),
                Some(_) => wrong(),
            },
            KvRequest::Hdel { key, field } => match self.value(key) {
                None => "0".to_owned(),
                Some((ModelValue::Hash(hash), _)) => {
                    let was = hash.remove(field).is_some();
                    if hash.is_empty() {
                        self.keys.remove(key);
                    }
                    i64::from(was).to_string()
                }
                Some(_) => wrong(),
            },
            KvRequest::Expire { key, after } => match self.value(key) {
                None => "0".to_owned(),
                Some((_, expires)) => {
                    *expires = Some(now + seconds(after));
                    "1".to_owned()
                }
            },
            KvRequest::Xadd { key, .. } => {
                if self.value(key).is_none() {
                    self.keys.insert(key.clone(), (ModelValue::Stream, None));
                }
                match self.value(key) {
                    Some((ModelValue::Stream, _)) => "an id".to_owned(),
                    _ => wrong(),
                }
            }
        }
    }

    /// Everything that can be seen.
    pub(super) fn seen(&self) -> Vec<String> {
        let mut seen = Vec::new();
        for number in 0..RUNS {
            let known = self.runs.get(&number).cloned().unwrap_or_default();
            seen.push(format!("{number}: {:?} {:?}", known.facts, known.checkpoint));
        }
        let there = || self.runs.iter().filter(|(_, run)| !run.facts.is_empty());
        let unfinished: Vec<u32> = there().filter(|(_, run)| !run.finished).map(|(number, _)| *number).collect();
        let recent: Vec<u32> = there().map(|(number, _)| *number).rev().collect();
        seen.push(format!("{unfinished:?} {recent:?}"));
        let mut objects: Vec<_> = self.objects.iter().map(|(object, put)| (digest(*object), *put)).collect();
        objects.sort();
        seen.push(format!("{objects:?}"));
        seen
    }
}

pub(super) fn digest(object: u8) -> String {
    row::sha256(&[object])
}

pub(super) struct Machine;

impl ReferenceStateMachine for Machine {
    type State = Model;
    type Transition = Act;

    fn init_state() -> BoxedStrategy<Model> {
        Just(Model { now: 100, ..Model::default() }).boxed()
    }

    fn transitions(_: &Model) -> BoxedStrategy<Act> {
        let pick = || prop_oneof![8 => Just(Pick::Right), 1 => Just(Pick::Before), 1 => Just(Pick::After)];
        let piece = (0..RUNS, pick(), pick(), 0..4_u8, any::<bool>(), any::<bool>()).prop_map(
            |(run, token, place, facts, checkpoint, finished)| Piece { run, token, place, facts, checkpoint, finished },
        );
        prop_oneof![
            4 => (0..RUNS, 0..2_u8, 0..20_u64).prop_map(|(run, owner, ttl)| Act::Claim { run, owner, ttl }),
            8 => prop::collection::vec(piece, 1..5).prop_map(Act::Append),
            2 => (0..RUNS, pick()).prop_map(|(run, token)| Act::Forget { run, token }),
            1 => (0..4_u8).prop_map(Act::PutObject),
            1 => (0..4_u8, 0..20_u64).prop_map(|(object, back)| Act::RemoveObject { object, back }),
            12 => keys().prop_map(Act::Key),
            2 => (1..15_u64).prop_map(Act::Wait),
            1 => Just(Act::Reopen),
        ]
        .boxed()
    }

    fn apply(mut model: Model, act: &Act) -> Model {
        model.acts += 1;
        model.told = match act {
            Act::Claim { run, owner, ttl } => vec![model.claim(*run, *owner, *ttl)],
            Act::Append(pieces) => {
                let acts = model.acts;
                let told = |(place, piece): (usize, &Piece)| model.append(piece, &format!("{acts}.{place}"));
                fix(pieces).iter().enumerate().map(told).collect()
            }
            Act::Forget { run, token } => vec![model.forget(*run, *token)],
            Act::PutObject(object) => {
                model.objects.insert(*object, model.now);
                Vec::new()
            }
            Act::RemoveObject { object, back } => {
                let before = model.now.saturating_sub(*back);
                let old = model.objects.get(object).is_some_and(|put| *put < before);
                if old {
                    model.objects.remove(object);
                }
                vec![old.to_string()]
            }
            Act::Key(request) => vec![model.key(request)],
            Act::Wait(seconds) => {
                model.now += seconds;
                Vec::new()
            }
            Act::Reopen => Vec::new(),
        };
        model
    }
}

/// A batch names each run once: what a pick means is then plain.
pub(super) fn fix(pieces: &[Piece]) -> Vec<Piece> {
    let mut fixed: Vec<Piece> = Vec::new();
    for piece in pieces {
        if fixed.iter().all(|earlier| earlier.run != piece.run) {
            fixed.push(piece.clone());
        }
    }
    fixed
}

fn keys() -> impl Strategy<Value = KvRequest> {
    let key = || prop::sample::select(vec!["a", "b", "c"]).prop_map(str::to_owned);
    let field = || prop::sample::select(vec!["x", "y"]).prop_map(str::to_owned);
    let value =
        || prop::sample::select(vec!["1", "-7", "9223372036854775807", "", "word", "é"]).prop_map(str::to_owned);
    let time = || (0..20_u64).prop_map(|seconds| Duration::from_secs(seconds * LONG));
    prop_oneof![
        key().prop_map(|key| KvRequest::Get { key }),
        (key(), value(), prop::option::of(time())).prop_map(|(key, value, expire)| KvRequest::Set {
            key,
            value,
            expire
        }),
        key().prop_map(|key| KvRequest::Del { key }),
        (key(), prop::sample::select(vec![1, -3, i64::MAX, i64::MIN]))
            .prop_map(|(key, by)| KvRequest::Incr { key, by }),
        (key(), field(), value()).prop_map(|(key, field, value)| KvRequest::Hset { key, field, value }),
        (key(), field()).prop_map(|(key, field)| KvRequest::Hget { key, field }),
        key().prop_map(|key| KvRequest::Hgetall { key }),
        (key(), field()).prop_map(|(key, field)| KvRequest::Hdel { key, field }),
        (key(), time()).prop_map(|(key, after)| KvRequest::Expire { key, after }),
        (key(), prop::option::of(1..4_u64)).prop_map(|(key, maxlen)| KvRequest::Xadd {
            key,
            fields: vec![("f".into(), "v".into())],
            maxlen
        }),
    ]
}
