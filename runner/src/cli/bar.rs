//! A bar of bytes on a terminal, plain lines elsewhere.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::print::{self, Show};

/// Longest silence between two plain lines.
pub(super) const LINE: Duration = Duration::from_secs(30);

/// A bar that shows bytes; none where nothing may be drawn.
pub(super) fn drawn(show: Show) -> Option<ProgressBar> {
    let style = "{prefix:<14} {wide_bar} {percent:>3}%  {bytes}/{total_bytes}  {bytes_per_sec}  eta {eta}  {msg}";
    show.draws().then(|| {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(5));
        bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar
    })
}

/// The progress of one thing.
pub(super) struct Bar {
    show: Show,
    name: String,
    bar: Option<ProgressBar>,
    told: Mutex<Told>,
}

struct Told {
    tenth: u64,
    at: Instant,
}

impl Bar {
    pub(super) fn new(show: Show, name: &str) -> Self {
        let bar = drawn(show);
        bar.iter().for_each(|bar| bar.set_prefix(name.to_owned()));
        Self { show, name: name.to_owned(), bar, told: Mutex::new(Told { tenth: 0, at: Instant::now() }) }
    }

    /// So much is done of so much, in bytes.
    pub(super) fn at(&self, done: u64, total: u64) {
        match &self.bar {
            Some(bar) => {
                bar.set_length(total);
                bar.set_position(done);
            }
            None => self.line(done, total),
        }
    }

    /// Takes the bar off the terminal.
    pub(super) fn clear(&self) {
        self.bar.iter().for_each(ProgressBar::finish_and_clear);
    }

    /// A word that stays on the terminal.
    pub(super) fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| self.show.note(text)),
            None => self.show.note(text),
        }
    }

    /// A plain line every tenth of the way, or every 30 s.
    fn line(&self, done: u64, total: u64) {
        let tenth = (u128::from(done) * 10).checked_div(u128::from(total)).unwrap_or(0) as u64;
        let mut told = self.told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if tenth <= told.tenth && told.at.elapsed() < LINE {
            return;
        }
        *told = Told { tenth, at: Instant::now() };
        let percent = (u128::from(done) * 100).checked_div(u128::from(total)).unwrap_or(100);
        self.show.note(&format!("  {}  {percent}%  {}/{}", self.name, print::bytes(done), print::bytes(total)));
    }
}
