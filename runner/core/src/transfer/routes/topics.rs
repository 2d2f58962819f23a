//! All routes of a codec for one device: topics to publish on, filters to subscribe to, captures of what arrived.

use super::super::{Flow, Pairs, Qos, Route};
use super::template::{Level, Piece, Template, unfit};
use super::{MAX_LEVELS, MAX_TOPIC_BYTES, RouteError, check_device, shortened};

/// All routes of a codec, for one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routes {
    routes: Vec<Bound>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Bound {
    flow: Flow,
    qos: Qos,
    retain: bool,
    names_device: bool,
    levels: Vec<BoundLevel>,
    captures: usize,
    /// The topic itself, where nothing is to be captured.
    topic: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum BoundLevel {
    Text(String),
    One,
    Rest,
}

impl Routes {
    /// Fills in the device and the variables. A variable's value may hold `{device}`, and slashes.
    ///
    /// # Errors
    /// A device id outside its alphabet; a template that cannot be parsed or wants a variable that is not given; a value
    /// with a wildcard, a control character, an empty level or a broker's own first level; two routes of one flow that
    /// would take the same messages.
    pub fn new(routes: &[Route], device: &str, vars: &Pairs) -> Result<Self, RouteError> {
        check_device(device)?;
        let routes = routes.iter().map(|route| bind(route, device, vars)).collect::<Result<Vec<_>, _>>()?;
        let bound = Self { routes };
        bound.check_overlaps()?;
        Ok(bound)
    }

    /// Routes of `flow`: index, MQTT topic filter, QoS. The platform subscribes to [`Flow::FromDevice`].
    pub fn subscriptions(&self, flow: Flow) -> Vec<(u16, String, Qos)> {
        self.of(flow).map(|(index, route)| (index, route.filter(), route.qos)).collect()
    }

    /// The topic of a message on `route`, which it fills with `captures`, in their order.
    pub fn topic(&self, route: u16, captures: &[String]) -> Result<String, RouteError> {
        let bound = self.bound(route)?;
        bound.check(route, captures)?;
        let topic = bound.topic.clone().unwrap_or_else(|| bound.fill(captures));
        if topic.len() > MAX_TOPIC_BYTES {
            return Err(RouteError::TooLong { route, len: topic.len() });
        }
        Ok(topic)
    }

    /// Whether a message on `route` with `captures` may go out in `flow`: all that [`Routes::topic`] checks, without building.
    pub fn check(&self, flow: Flow, route: u16, captures: &[String]) -> Result<(), RouteError> {
        let bound = self.bound(route)?;
        if bound.flow != flow {
            return Err(RouteError::WrongFlow { route });
        }
        bound.check(route, captures)
    }

    /// What `topic` holds in the places of the route's `{+}` and `{#}`; nothing where the route does not take the topic.
    pub fn captures(&self, route: u16, topic: &str) -> Option<Vec<String>> {
        self.routes.get(usize::from(route))?.captures(topic)
    }

    /// The route of `flow` that takes `topic`, with its captures; the first where several do.
    pub fn find(&self, flow: Flow, topic: &str) -> Option<(u16, Vec<String>)> {
        self.of(flow).find_map(|(index, route)| Some((index, route.captures(topic)?)))
    }

    /// QoS and retain flag of messages on `route`.
    pub fn quality(&self, route: u16) -> Option<(Qos, bool)> {
        self.routes.get(usize::from(route)).map(|bound| (bound.qos, bound.retain))
    }

    /// Whether the device's id stands in the topic, itself or through a variable. Where it does not, the route serves one
    /// device per broker connection.
    pub fn names_device(&self, route: u16) -> bool {
        self.routes.get(usize::from(route)).is_some_and(|bound| bound.names_device)
    }

    fn of(&self, flow: Flow) -> impl Iterator<Item = (u16, &Bound)> {
        (0u16..).zip(&self.routes).filter(move |(_, route)| route.flow == flow)
    }

    fn bound(&self, route: u16) -> Result<&Bound, RouteError> {
        self.routes.get(usize::from(route)).ok_or(RouteError::NoSuchRoute { route, count: self.routes.len() })
    }

    fn check_overlaps(&self) -> Result<(), RouteError> {
        for flow in [Flow::FromDevice, Flow::ToDevice] {
            let mut seen: Vec<(u16, String)> = Vec::new();
            for (second, filter, _) in self.subscriptions(flow) {
                if let Some((first, _)) = seen.iter().find(|(_, known)| *known == filter) {
                    return Err(RouteError::Overlap { first: *first, second, filter });
                }
                seen.push((second, filter));
            }
        }
        Ok(())
    }
}

fn bind(route: &Route, device: &str, vars: &Pairs) -> Result<Bound, RouteError> {
    let template = Template::parse(&route.template)?;
    let mut levels = Vec::new();
    let mut names_device = template.names_device();
    for level in &template.levels {
        match level {
            Level::One => levels.push(BoundLevel::One),
            Level::Rest => levels.push(BoundLevel::Rest),
            Level::Fixed(pieces) => {
                let mut text = String::new();
                for piece in pieces {
                    match piece {
                        Piece::Text(literal) => text.push_str(literal),
                        Piece::Device => text.push_str(device),
                        Piece::Var(name) => names_device |= expand(&template, name, device, vars, &mut text)?,
                    }
                }
                if text.is_empty() && !pieces.is_empty() {
                    let problem = "filled in, a level is empty".to_owned();
                    return Err(RouteError::Template { template: shortened(&template.source), problem });
                }
                levels.extend(text.split('/').map(|level| BoundLevel::Text(level.to_owned())));
            }
        }
    }
    let mut bound = Bound {
        flow: route.flow,
        qos: route.qos,
        retain: route.retain,
        names_device,
        levels,
        captures: template.captures(),
        topic: None,
    };
    bound.check_filled(&template.source)?;
    bound.topic = (bound.captures == 0).then(|| bound.fill(&[]));
    Ok(bound)
}

/// Appends the value of `name`; says whether the device came in with it.
fn expand(template: &Template, name: &str, device: &str, vars: &Pairs, text: &mut String) -> Result<bool, RouteError> {
    let value = vars
        .iter()
        .find(|(known, _)| known == name)
        .map(|(_, value)| value)
        .ok_or_else(|| RouteError::MissingVar { template: shortened(&template.source), name: name.to_owned() })?;
    if let Some(problem) = unfit(value) {
        return Err(RouteError::Var { name: name.to_owned(), value: shortened(value), problem });
    }
    // Once only: the id's alphabet has no brace, so nothing that it brings could be expanded again.
    text.push_str(&value.replace("{device}", device));
    Ok(value.contains("{device}"))
}

impl Bound {
    /// What only shows once the variables stand in it.
    fn check_filled(&self, template: &str) -> Result<(), RouteError> {
        let bad = |problem: &str| RouteError::Template { template: shortened(template), problem: problem.to_owned() };
        let texts = || {
            self.levels.iter().enumerate().filter_map(|(at, level)| match level {
                BoundLevel::Text(text) => Some((at, text.as_str())),
                BoundLevel::One | BoundLevel::Rest => None,
            })
        };
        if texts().any(|(at, text)| at > 0 && text.is_empty()) || texts().all(|(_, text)| text.is_empty()) {
            return Err(bad("filled in, a level is empty"));
        }
        if matches!(texts().next(), Some((0, "$share" | "$SYS" | "$queue" | "$exclusive"))) {
            return Err(bad("filled in, its first level belongs to the broker"));
        }
        let len = self.filter().len();
        if len > MAX_TOPIC_BYTES || self.levels.len() > 2 * MAX_LEVELS {
            return Err(bad("filled in, it is longer than a topic may be"));
        }
        Ok(())
    }

    fn filter(&self) -> String {
        self.written(|level| match level {
            BoundLevel::Text(text) => text.as_str(),
            BoundLevel::One => "+",
            BoundLevel::Rest => "#",
        })
    }

    fn fill(&self, captures: &[String]) -> String {
        let mut captures = captures.iter();
        self.written(|level| match level {
            BoundLevel::Text(text) => text.as_str(),
            BoundLevel::One | BoundLevel::Rest => captures.next().map_or("", String::as_str),
        })
    }

    fn written<'a>(&'a self, mut part: impl FnMut(&'a BoundLevel) -> &'a str) -> String {
        let mut text = String::new();
        for (at, level) in self.levels.iter().enumerate() {
            if at > 0 {
                text.push('/');
            }
            text.push_str(part(level));
        }
        text
    }

    fn check(&self, route: u16, captures: &[String]) -> Result<(), RouteError> {
        if captures.len() != self.captures {
            return Err(RouteError::CaptureCount { route, wanted: self.captures, given: captures.len() });
        }
        let wildcards = self.levels.iter().filter(|level| !matches!(level, BoundLevel::Text(_)));
        for (level, value) in wildcards.zip(captures) {
            if let Some(problem) = unfit_capture(level, value) {
                return Err(RouteError::Capture { route, value: shortened(value), problem });
            }
        }
        Ok(())
    }

    fn captures(&self, topic: &str) -> Option<Vec<String>> {
        let mut found = Vec::with_capacity(self.captures);
        let mut rest = Some(topic);
        for level in &self.levels {
            let text = rest?;
            if *level == BoundLevel::Rest {
                found.push(text.to_owned());
                rest = None;
                continue;
            }
            let (here, after) = text.split_once('/').map_or((text, None), |(here, after)| (here, Some(after)));
            match level {
                BoundLevel::Text(wanted) if wanted == here => {}
                BoundLevel::Text(_) => return None,
                BoundLevel::One | BoundLevel::Rest => found.push(here.to_owned()),
            }
            rest = after;
        }
        rest.is_none().then_some(found)
    }
}

fn unfit_capture(level: &BoundLevel, value: &str) -> Option<&'static str> {
    if value.is_empty() {
        return Some("is empty");
    }
    if value.len() > MAX_TOPIC_BYTES {
        return Some("is longer than a topic may be");
    }
    if let Some(problem) = unfit(value) {
        return Some(problem);
    }
    match level {
        BoundLevel::Rest if value.split('/').any(str::is_empty) => Some("has an empty level"),
        BoundLevel::One if value.contains('/') => Some("holds a slash"),
        BoundLevel::Text(_) | BoundLevel::One | BoundLevel::Rest => None,
    }
}
