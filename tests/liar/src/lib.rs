//! A codec that lies as its variable `lie` tells, around an honest one: the codec that `packhorse plugin new` writes. The device's end
//! is honest, so that what a lie does to a file can be seen there.
//!
//! `lies.rs` has the lies.

#[path = "../../../sdk/templates/rust/src/device.rs"]
pub mod device;
#[path = "../../../sdk/templates/rust/src/frame.rs"]
pub mod frame;
mod lies;
#[path = "../../../sdk/templates/rust/src/platform.rs"]
pub mod platform;

use crate::device::ThisDevice;
use crate::frame::TO_DEVICE;
use crate::lies::Lie;
use crate::platform::ThisPlatform;
use packhorse_codec::{
    Command, DecodeOut, Description, EncodeOut, Event, Fault, File, Incoming, More, Platform, Route, Text, Transfer,
    Var,
};

/// The topic with a level that a message fills in.
const OPEN: u16 = 2;

/// The platform side of one transfer.
#[derive(Debug)]
pub struct Liar {
    honest: ThisPlatform,
    lie: Lie,
    /// Push: what is sent.
    file: File,
}

impl Platform for Liar {
    fn describe() -> Description {
        let mut routes = vec![Route::to_device("liar/{device}/down"), Route::from_device("liar/{device}/up")];
        routes.push(Route::to_device("liar/{device}/open/{+}"));
        let lie = Var {
            name: "lie".into(),
            required: false,
            default: "none".into(),
            pattern: String::new(),
            about: "which one".into(),
        };
        let about = "lies as it is told".into();
        Description { name: "liar".into(), about, vars: vec![lie], routes, ..ThisPlatform::describe() }
    }

    fn open(transfer: Transfer) -> Result<Self, Text> {
        let name = transfer.vars.iter().find(|(name, _)| name == "lie").map_or("none", |(_, lie)| lie.as_str());
        let lie = Lie::named(name).ok_or_else(|| Text::new("lie", format!("{name} is no lie of mine")))?;
        Ok(Self { lie, file: transfer.file.clone(), honest: ThisPlatform::open(transfer)? })
    }

    fn decode(&mut self, message: Incoming, out: &mut DecodeOut<Event>) -> Result<(), Fault> {
        let lies = self.lie.about(&message.payload, &self.file);
        if !self.lie.hears(&message.payload, &self.file) {
            return Err(Fault::NotMine);
        }
        let message = Incoming { payload: self.lie.forged(message.payload), ..message };
        self.honest.decode(message, out)?;
        if self.lie == Lie::LastWords {
            out.reply(TO_DEVICE, b"the last word".to_vec());
            return Err(Fault::fatal("enough", "this codec has had enough"));
        }
        lies.into_iter().for_each(|lie| out.push(lie));
        Ok(())
    }

    fn encode(&mut self, command: Command, out: &mut EncodeOut) -> Result<(), Fault> {
        if let Some(capture) = self.lie.capture() {
            out.send_with(OPEN, vec![1], More::captures([capture.to_owned()]));
            return Ok(());
        }
        self.honest.encode(command, out)
    }
}

packhorse_codec::codec!(platform: Liar, device: ThisDevice);
