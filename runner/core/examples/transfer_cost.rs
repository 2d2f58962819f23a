//! What the transfer machine costs a packet: pushes 64 MiB in pieces of 640 bytes to a device that acknowledges each one.
//!
//! `cargo run --release -p packhorse-core --example transfer_cost`

use std::collections::VecDeque;
use std::io::Write;
use std::time::Instant;

use packhorse_core::transfer::{
    Acks, Action, Driver, Event, FileInfo, Micros, Mode, Order, Plan, Replies, Sent, SentKind, Span, Time, Transfer,
};

const SIZE: u64 = 64 << 20;

fn plan() -> Plan {
    let mode = Mode {
        driver: Driver::PlatformPush,
        packet_min: 1,
        packet_max: 65_536,
        packet_default: 640,
        packet_align: 0,
        grid: false,
        window_default: 32,
        window_max: 64,
        overhead_fixed: 100,
        overhead_per_mille: 1_000,
        replies: Replies::Resend,
        acks: Acks::Message,
        order: Order::Any,
        confirms: false,
        can_query: false,
        can_cancel: false,
        file_max: 0,
    };
    Plan::new(mode, "dev-1", FileInfo { size: Some(SIZE), ..FileInfo::default() })
}

fn push(lost: impl Fn(u64) -> bool) -> Result<(u64, f64), Box<dyn std::error::Error>> {
    let began = Instant::now();
    let mut now = Time(1);
    let mut transfer = Transfer::new(plan(), None, now)?;
    let mut flying: VecDeque<Span> = VecDeque::new();
    let mut sent = 0;
    while !transfer.is_finished() {
        while let Some(action) = transfer.poll(now) {
            if let Action::Send { span, .. } = action {
                sent += 1;
                let what = Sent { what: SentKind::Piece(span), wire_bytes: 740, messages: 1 };
                transfer.handle_sent(what, now);
                if !lost(sent) {
                    flying.push_back(span);
                }
            }
        }
        now = now + Micros(20);
        match flying.pop_front() {
            Some(span) => {
                transfer.handle_received(100, 1, now);
                transfer.handle(Event::Ack(span), now);
            }
            None => now = transfer.poll_timeout().unwrap_or(now),
        }
        if transfer.poll_timeout().is_some_and(|due| due <= now) {
            transfer.handle_timeout(now);
        }
    }
    Ok((sent, began.elapsed().as_nanos() as f64 / sent as f64))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = std::io::stdout();
    for (name, every) in [("no loss", u64::MAX), ("one in five lost", 5)] {
        let (sent, nanos) = push(|serial| serial.is_multiple_of(every))?;
        writeln!(out, "{name}: {sent} packets, {nanos:.0} ns each")?;
    }
    Ok(())
}
