//! `resmcu monitor`: the log of a real board.

use super::flash::At;
use crate::device::print_log;
use crate::failure::{Failure, Outcome};
use crate::interrupt::Interrupt;
use clap::Args;
use resmcu_device_link::probe::monitor;

/// Shows the log of a board's firmware as it runs, by a debug probe (RTT, defmt)
#[derive(Debug, Args)]
pub(crate) struct Monitor {
    #[command(flatten)]
    at: At,
}

impl Monitor {
    pub(crate) fn run(&self) -> Outcome {
        let (board, firmware) = self.at.firmware()?;
        let interrupt = Interrupt::listen()?;
        let chip = self.at.attach(board)?;
        eprintln!("the log of {}; Ctrl-C ends it", board.name);
        let watched = monitor(chip, &firmware, print_log(board.name, true), || interrupt.pressed());
        watched.map_err(Failure::from)
    }
}
