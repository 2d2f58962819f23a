//! Steps that must not be done twice, after crashes, after lost writes, and on stores that could forget.

use super::*;

static ONCE: Primitive = Primitive { class: EffectClass::Once, ..fake("http.request", start) };

fn start(_: &Map<String, Value>) -> Result<Start, Failure> {
    let effect = Effect::Log { level: LogLevel::Info, message: "once".to_owned(), fields: BTreeMap::new() };
    Ok(Start::Effect(Box::new(effect)))
}

fn player() -> Player {
    Player::new(workflow(vec![step("before", &LOG), step("charge", &ONCE), step("after", &LOG)]))
}

fn answer(player: &mut Player, step: &str) {
    let event = player.ended(step, EffectEnd::Outcome(Ok(Reply::Done)));
    player.decide(event).expect("an end is never refused");
}

fn doubt(player: &mut Player) {
    let record = Record::new(player.now, Fact::Doubted);
    player.journal.push(record);
    player.crash();
}

fn standing(player: &Player) -> (RunStatus, Option<Reason>, Option<String>) {
    let (status, reason) = player.run.state().standing();
    (status, reason, player.under_way.as_ref().map(|id| id.step.clone()))
}

fn asks_and_goes_on(mut player: Player, code: &str) {
    assert_eq!(standing(&player), (RunStatus::Paused, Some(Reason::OperatorNeeded), None));
    let failure = player.run.state().steps["charge"].error.clone().expect("words");
    assert_eq!(failure.code, code);
    player.decide(RunEvent::Resume).expect("it is paused");
    assert_eq!(player.under_way.as_ref().map(|id| id.step.as_str()), Some("charge"), "a person has consented");
    answer(&mut player, "charge");
    answer(&mut player, "after");
    assert_eq!(player.run.state().status(), RunStatus::Succeeded);
}

#[test]
fn once_is_done_once_where_nothing_goes_wrong() {
    let mut player = player();
    player.decide(RunEvent::Begin).expect("begins");
    ["before", "charge", "after"].iter().for_each(|step| answer(&mut player, step));
    assert_eq!(player.run.state().status(), RunStatus::Succeeded);
}

#[test]
fn a_crash_in_the_middle_of_once_asks_a_person() {
    let mut player = player();
    player.decide(RunEvent::Begin).expect("begins");
    answer(&mut player, "before");
    player.crash();
    asks_and_goes_on(player, "PH7014");
}

#[test]
fn lost_writes_make_a_once_that_never_began_ask_too_and_others_go_on() {
    let mut player = player();
    player.decide(RunEvent::Begin).expect("begins");
    doubt(&mut player);
    assert_eq!(standing(&player).2.as_deref(), Some("before"), "what may be repeated is repeated");
    answer(&mut player, "before");
    asks_and_goes_on(player, "PH7014");
}

#[test]
fn a_once_that_is_over_is_not_asked_about() {
    let mut player = player();
    player.decide(RunEvent::Begin).expect("begins");
    answer(&mut player, "before");
    answer(&mut player, "charge");
    doubt(&mut player);
    assert_eq!(standing(&player).2.as_deref(), Some("after"));
}

#[test]
fn once_waits_for_a_store_that_flushes() {
    let mut player = player();
    player.run = player.run.clone().on(Durability::Unsynced);
    player.decide(RunEvent::Begin).expect("begins");
    answer(&mut player, "before");
    assert_eq!(standing(&player), (RunStatus::Paused, Some(Reason::OperatorNeeded), None));
    player.decide(RunEvent::Resume).expect("it is paused");
    assert_eq!(standing(&player), (RunStatus::Paused, Some(Reason::OperatorNeeded), None), "consent is not enough");
    player.crash();
    asks_and_goes_on(player, "PH7015");
}
