//! The RAM of a board by purpose, as far as it is known before anything runs.

use crate::device::{BoardData, image};
use crate::failure::Outcome;
use crate::output::{grouped, size};
use resmcu_device_link::Firmware;
use resmcu_int8_runtime::{Block, Step};
use resmcu_model_format::Header;
use serde::Serialize;
use std::fmt;

/// What a model and a board's firmware take of its RAM, in bytes.
#[derive(Debug, Serialize)]
pub(super) struct Ledger {
    arena: u64,
    scratch: u64,
    plan: u64,
    statics: u64,
    /// The region that the linker leaves to the stack.
    stack: u64,
    total: u64,
    available: u64,
    /// What the firmware's arena and its table of steps hold.
    capacity: [u64; 2],
}

impl Ledger {
    /// By the board's firmware; none where it is not built.
    pub(super) fn of(board: BoardData, header: &Header<'_>) -> Outcome<Option<Self>> {
        let path = image(board.name.strip_prefix("qemu-").unwrap_or(board.name));
        if !path.is_file() {
            return Ok(None);
        }
        let sizes = Firmware::open(path)?.sizes();
        let [arena, scratch] = [header.arena_bytes, header.scratch_bytes].map(u64::from);
        let plan = u64::from(header.tensors) * size_of::<Step>() as u64;
        let (statics, stack) = (sizes.statics, sizes.stack);
        let (total, available) = (arena + scratch + plan + statics + stack, board.ram_bytes);
        // A static that can be taken once has a flag, at the alignment of what it holds.
        let flags = [align_of::<Block>(), align_of::<Step>()].map(|bytes| bytes as u64);
        let of = |bytes: u64, index: usize| bytes.saturating_sub(flags[index]);
        let capacity = [of(sizes.arena, 0), of(sizes.plan, 1)];
        Ok(Some(Self { arena, scratch, plan, statics, stack, total, available, capacity }))
    }

    /// What does not fit, and by how much.
    pub(super) fn excess(&self) -> Option<String> {
        let need = [self.arena + self.scratch, self.plan];
        let over = |index: usize, what: &str| {
            let bytes = need[index].checked_sub(self.capacity[index]).filter(|&bytes| bytes > 0)?;
            let capacity = grouped(self.capacity[index]);
            Some(format!("{what} of {capacity} bytes, which it exceeds by {}", grouped(bytes)))
        };
        over(0, "the firmware has an arena").or_else(|| over(1, "the firmware has a plan's table"))
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "RAM          {} of {}", size(self.total), size(self.available))?;
        let [arena, plan] = self.capacity.map(grouped);
        for (name, bytes, note) in [
            ("arena", self.arena, format!("the firmware has {arena} for it and the scratch")),
            ("scratch", self.scratch, String::new()),
            ("plan", self.plan, format!("of {plan}")),
            ("statics", self.statics, String::new()),
            ("stack", self.stack, "its region; `resmcu bench` measures what is used".to_owned()),
        ] {
            writeln!(f, "{}", format!("  {name:<10} {:>10}  {note}", grouped(bytes)).trim_end())?;
        }
        Ok(())
    }
}
