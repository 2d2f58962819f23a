//! Single keys from the terminal.

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::io::{IsTerminal as _, Read as _, stdin};
use tokio::sync::mpsc;

/// As long as this is there, the terminal gives each key at once and shows none; Ctrl-C stays a signal.
pub(super) struct Keys {
    before: Option<Termios>,
    pressed: mpsc::Receiver<u8>,
}

impl Keys {
    /// Without a terminal to read from, there are none.
    pub(super) fn take() -> Self {
        let (press, pressed) = mpsc::channel(16);
        let before = stdin().is_terminal().then(|| tcgetattr(stdin()).ok()).flatten();
        if let Some(before) = &before {
            let mut each = before.clone();
            each.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
            // Refused, keys come line by line.
            let _ = tcsetattr(stdin(), OptionalActions::Now, &each);
            // It ends with the process: a read of a terminal cannot be called back.
            std::thread::spawn(move || {
                stdin().lock().bytes().map_while(Result::ok).all(|key| press.blocking_send(key).is_ok())
            });
        }
        Self { before, pressed }
    }

    /// Resolves when this key is pressed.
    pub(super) async fn pressed(&mut self, wanted: u8) {
        loop {
            match self.pressed.recv().await {
                Some(key) if key == wanted => return,
                Some(_) => {}
                None => std::future::pending().await,
            }
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // A terminal that is gone needs nothing back.
            let _ = tcsetattr(stdin(), OptionalActions::Now, before);
        }
    }
}
