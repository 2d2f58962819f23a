//! What a plugin may say of itself.

use packhorse_core::transfer::{Description, Driver, Flow, Mode, Pairs, Routes, Template, Var, is_var_name};

use super::shelf::is_name;
use super::vars;

const MAX_ROUTES: usize = 64;
const MAX_VARS: usize = 64;
const MAX_ABOUT_BYTES: usize = 1024;
const MAX_VALUE_BYTES: usize = 1024;
/// MQTT lets a payload be 256 MiB; a packet that a call could not carry is of no use.
const MAX_PACKET_BYTES: u32 = super::MAX_BATCH_BYTES as u32;
/// Hex doubles, JSON that escapes every byte multiplies by six: more is a slip.
const MAX_OVERHEAD_PER_MILLE: u32 = 8_000;
const MIN_OVERHEAD_PER_MILLE: u32 = 1_000;
const MAX_OVERHEAD_FIXED: u32 = 65_536;

/// Checks everything in it; what is wrong is said in one sentence.
pub(crate) fn check(description: &Description) -> Result<(), String> {
    if !is_name(&description.name) {
        return Err(format!("its name {:?} is not made of 1 to 64 of a-z 0-9 -", shown(&description.name)));
    }
    if semver::Version::parse(&description.version).is_err() {
        return Err(format!("its version {:?} is no semantic version such as 1.2.3", shown(&description.version)));
    }
    about("the plugin", &description.about)?;
    check_vars(&description.vars)?;
    check_routes(description)?;
    check_modes(&description.modes)?;
    for (at, digest) in description.digests.iter().enumerate() {
        if description.digests[..at].contains(digest) {
            return Err(format!("it names the digest {digest:?} twice"));
        }
    }
    Ok(())
}

fn about(of: &str, text: &str) -> Result<(), String> {
    if text.len() > MAX_ABOUT_BYTES || text.contains(char::is_control) {
        return Err(format!("the words about {of} are longer than {MAX_ABOUT_BYTES} bytes or hold control characters"));
    }
    Ok(())
}

fn check_vars(declared: &[Var]) -> Result<(), String> {
    if declared.len() > MAX_VARS {
        return Err(format!("it declares {} variables, more than {MAX_VARS}", declared.len()));
    }
    for (at, var) in declared.iter().enumerate() {
        let name = shown(&var.name);
        if !is_var_name(&var.name) {
            return Err(format!("{name:?} names no variable: 1 to 64 of a-z 0-9 _, a letter first, and not `device`"));
        }
        if declared[..at].iter().any(|before| before.name == var.name) {
            return Err(format!("it declares the variable `{name}` twice"));
        }
        if var.default.len() > MAX_VALUE_BYTES || var.pattern.len() > MAX_VALUE_BYTES {
            return Err(format!("the default or pattern of `{name}` is longer than {MAX_VALUE_BYTES} bytes"));
        }
        about(&name, &var.about)?;
        check_pattern(var)?;
    }
    Ok(())
}

fn check_pattern(var: &Var) -> Result<(), String> {
    if var.pattern.is_empty() {
        return Ok(());
    }
    let pattern = vars::pattern(&var.pattern).map_err(|problem| format!("the variable `{}` {problem}", var.name))?;
    // Where the device stands in the default, only the device tells whether it fits.
    if !var.required && !var.default.contains("{device}") && !pattern.is_match(&var.default) {
        return Err(format!("the default {:?} of `{}` does not match its own pattern", var.default, var.name));
    }
    Ok(())
}

fn check_routes(description: &Description) -> Result<(), String> {
    let routes = &description.routes;
    if routes.len() > MAX_ROUTES {
        return Err(format!("it declares {} routes, more than {MAX_ROUTES}", routes.len()));
    }
    for flow in [Flow::FromDevice, Flow::ToDevice] {
        if !routes.iter().any(|route| route.flow == flow) {
            let way = if flow == Flow::FromDevice { "from the device" } else { "to the device" };
            return Err(format!("it declares no route {way}"));
        }
    }
    for route in routes {
        let template = Template::parse(&route.template).map_err(|error| error.to_string())?;
        if let Some(unknown) = template.vars().find(|name| !description.vars.iter().any(|var| var.name == *name)) {
            return Err(format!(
                "route template {:?} names `{unknown}`, which is no declared variable",
                route.template
            ));
        }
    }
    check_default_topics(description)
}

/// Where every variable has a default, the topics that come of them must be fit to use.
fn check_default_topics(description: &Description) -> Result<(), String> {
    if description.vars.iter().any(|var| var.required) {
        return Ok(());
    }
    let defaults: Pairs = description.vars.iter().map(|var| (var.name.clone(), var.default.clone())).collect();
    Routes::new(&description.routes, "device", &defaults).map(|_| ()).map_err(|error| error.to_string())
}

fn check_modes(modes: &[Mode]) -> Result<(), String> {
    if modes.is_empty() {
        return Err("it declares no mode: it could move no file".to_owned());
    }
    for (at, mode) in modes.iter().enumerate() {
        let driver = driver_name(mode.driver);
        if modes[..at].iter().any(|before| before.driver == mode.driver) {
            return Err(format!("it declares the mode {driver} twice"));
        }
        check_mode(mode).map_err(|problem| format!("in the mode {driver}, {problem}"))?;
    }
    Ok(())
}

fn check_mode(mode: &Mode) -> Result<(), String> {
    let (min, max, default) = (mode.packet_min, mode.packet_max, mode.packet_default);
    if min == 0 || min > default || default > max || max > MAX_PACKET_BYTES {
        return Err(format!("packet sizes must be 1 ≤ min {min} ≤ default {default} ≤ max {max} ≤ {MAX_PACKET_BYTES}"));
    }
    let align = mode.packet_align.max(1);
    if !default.is_multiple_of(align) {
        return Err(format!("the default packet size {default} is no multiple of the alignment {align}"));
    }
    if mode.window_default == 0 || mode.window_default > mode.window_max {
        return Err(format!("windows must be 1 ≤ default {} ≤ max {}", mode.window_default, mode.window_max));
    }
    if !(MIN_OVERHEAD_PER_MILLE..=MAX_OVERHEAD_PER_MILLE).contains(&mode.overhead_per_mille) {
        return Err(format!(
            "overhead-per-mille {} is not from {MIN_OVERHEAD_PER_MILLE} (bytes as they are) to {MAX_OVERHEAD_PER_MILLE}",
            mode.overhead_per_mille
        ));
    }
    if mode.overhead_fixed > MAX_OVERHEAD_FIXED {
        return Err(format!("overhead-fixed {} is more than {MAX_OVERHEAD_FIXED}", mode.overhead_fixed));
    }
    if mode.file_max == 0 {
        return Err("file-max is 0: it could move no file".to_owned());
    }
    Ok(())
}

/// As the contract writes it.
pub(crate) const fn driver_name(driver: Driver) -> &'static str {
    match driver {
        Driver::PlatformPush => "platform-push",
        Driver::DevicePull => "device-pull",
        Driver::DevicePush => "device-push",
        Driver::PlatformPull => "platform-pull",
    }
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use packhorse_core::transfer::{Acks, Order, Qos, Replies, Route};

    use super::*;

    fn sound() -> Description {
        let route =
            |flow, template: &str| Route { flow, template: template.to_owned(), qos: Qos::AtLeastOnce, retain: false };
        let mode = Mode {
            driver: Driver::PlatformPush,
            packet_min: 1,
            packet_max: 1024,
            packet_default: 512,
            packet_align: 0,
            grid: false,
            window_default: 1,
            window_max: 8,
            overhead_fixed: 16,
            overhead_per_mille: 1000,
            replies: Replies::Resend,
            acks: Acks::Message,
            order: Order::Any,
            confirms: false,
            can_query: false,
            can_cancel: false,
            file_max: 1 << 32,
        };
        let var = Var {
            name: "prefix".to_owned(),
            required: false,
            default: "x/{device}".to_owned(),
            pattern: String::new(),
            about: String::new(),
        };
        Description {
            name: "sound".to_owned(),
            version: "1.0.0".to_owned(),
            about: String::new(),
            vars: vec![var],
            routes: vec![route(Flow::ToDevice, "{prefix}/down"), route(Flow::FromDevice, "{prefix}/up")],
            modes: vec![mode],
            digests: Vec::new(),
        }
    }

    fn wrong(change: impl FnOnce(&mut Description), words: &str) {
        let mut description = sound();
        change(&mut description);
        let problem = check(&description).unwrap_err();
        assert!(problem.contains(words), "{problem}");
    }

    #[test]
    fn a_sound_description_passes() {
        assert_eq!(check(&sound()), Ok(()));
    }

    #[test]
    fn names_and_routes_are_checked() {
        wrong(|it| it.name = "../x".to_owned(), "its name");
        wrong(|it| it.version = "1.0".to_owned(), "no semantic version");
        wrong(|it| it.about = "\u{1b}[2J".to_owned(), "control characters");
        wrong(|it| it.routes.truncate(1), "no route from the device");
        wrong(|it| it.routes[0].template = "{prefix}/+".to_owned(), "wildcard");
        wrong(|it| it.routes[0].template = "{other}/x".to_owned(), "`other`, which is no declared variable");
        wrong(|it| it.routes.push(it.routes[0].clone()), "would both take the topic filter");
        wrong(|it| it.vars[0].default = "#".to_owned(), "holds a wildcard");
        wrong(|it| it.vars.push(it.vars[0].clone()), "declares the variable `prefix` twice");
        wrong(|it| it.vars[0].name = "device".to_owned(), "names no variable");
        wrong(|it| it.vars[0].pattern = "(".to_owned(), "no regular expression");
    }

    #[test]
    fn modes_are_checked() {
        wrong(|it| it.modes.clear(), "no mode");
        wrong(|it| it.modes.push(it.modes[0].clone()), "the mode platform-push twice");
        wrong(|it| it.modes[0].packet_min = 0, "packet sizes must be");
        wrong(|it| it.modes[0].packet_default = 2048, "packet sizes must be");
        wrong(|it| it.modes[0].packet_align = 100, "no multiple of the alignment 100");
        wrong(|it| it.modes[0].window_default = 9, "windows must be");
        wrong(|it| it.modes[0].window_default = 0, "windows must be");
        wrong(|it| it.modes[0].overhead_per_mille = 0, "overhead-per-mille 0");
        wrong(|it| it.modes[0].overhead_fixed = u32::MAX, "overhead-fixed");
        wrong(|it| it.modes[0].file_max = 0, "file-max is 0");
    }
}
