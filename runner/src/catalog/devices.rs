//! Files of devices: read once per content, and judged together, because no device may have two entries that are equally near.

use super::generation::Generation;
use super::judge::{self, Lack};
use super::scan::{Content, View};
use packhorse_core::catalog::{Catalog, Seen};
use packhorse_core::failure::{Class, Failure};
use packhorse_core::registry::{self, Clash, Devices, Registry};
use packhorse_core::workflow::expr::STACK;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

type Read = Result<Arc<Devices>, Failure>;
type Files = BTreeMap<String, Arc<Devices>>;

/// Reads files; what came of each is kept.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// By name: the digest that was read, and what came of it.
    known: HashMap<String, (String, Read)>,
}

impl Reader {
    /// What is seen under each name, beside the plugins of `next` and the files that counted before.
    pub(super) fn seen(
        &mut self,
        view: &View,
        next: &Generation,
        pending: &dyn Fn(&str) -> bool,
    ) -> BTreeMap<String, Seen<Devices>> {
        let read = self.read(view);
        let mut verdicts: HashMap<String, Option<Read>> = HashMap::new();
        for (name, read) in read {
            let lack = read.as_ref().map_or(Lack::Nothing, |devices| judge::lacks_codec(devices, next, pending));
            let verdict = match lack {
                Lack::Nothing => Some(read),
                Lack::Missing(failure) => Some(Err(failure)),
                Lack::Pending => None,
            };
            verdicts.insert(name, verdict);
        }
        for (name, clash) in clashes(view, next, &verdicts) {
            verdicts.insert(name, Some(Err(tied(&clash))));
        }
        view.seen(next.devices.entries().map(|(name, _)| name), |name, content| match verdicts.get(name) {
            Some(Some(verdict)) => Seen::Content { digest: content.digest.clone(), verdict: verdict.clone() },
            _ => Seen::Unsettled,
        })
    }

    /// What each content is; those that have not changed are not read again, and those that are gone are forgotten.
    fn read(&mut self, view: &View) -> HashMap<String, Read> {
        let mut all = HashMap::new();
        for (name, content) in view.contents() {
            let known = self.known.remove(name).filter(|(digest, _)| *digest == content.digest && !digest.is_empty());
            let read = known.map_or_else(|| read(content), |(_, read)| read);
            all.insert(name.to_owned(), (content.digest.clone(), read));
        }
        let result = all.iter().map(|(name, (_, read))| (name.clone(), read.clone())).collect();
        self.known = all;
        result
    }
}

fn read(content: &Content) -> Read {
    let bytes = content.bytes.as_ref().map_err(Clone::clone)?;
    let work = || registry::read(bytes, &content.path.display().to_string());
    // Expressions need the stack.
    let read = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("devices".to_owned()).stack_size(STACK);
        thread.spawn_scoped(scope, work).ok()?.join().ok()
    });
    let devices = read.ok_or_else(|| Failure::new("PH9001", Class::Bug, "the thread that reads devices stopped"))?;
    devices.map(Arc::new).map_err(|problems| Failure::new("PH2011", Class::Permanent, problems.to_string()))
}

/// Contents that do not fit beside those that go on to count.
fn clashes(view: &View, next: &Generation, verdicts: &HashMap<String, Option<Read>>) -> BTreeMap<String, Clash> {
    let mut new = Files::new();
    let mut counting = Files::new();
    for (name, entry) in next.devices.entries() {
        if let Some(live) = entry.live.as_ref().filter(|_| view.may_have(name)) {
            counting.insert(name.to_owned(), Arc::clone(&live.value));
        }
    }
    for (name, verdict) in verdicts {
        if let Some(Ok(devices)) = verdict
            && counting.get(name) != Some(devices)
        {
            new.insert(name.clone(), Arc::clone(devices));
        }
    }
    registry::clashes(&counting, &new)
}

fn tied(clash: &Clash) -> Failure {
    Failure::new("PH2012", Class::Permanent, clash.to_string())
        .hint("write more characters out in one of the two, or name the devices that both mean by their ids")
}

/// All files that count, together.
pub(super) fn registry(devices: &Catalog<Devices>) -> Arc<Registry> {
    let live = devices.entries().filter_map(|(name, entry)| Some((name, &*entry.live.as_ref()?.value)));
    Arc::new(Registry::new(live))
}
