//! The command `resmcu`: trains, quantizes, plans, validates and runs residual networks.
//!
//! Owns arguments, reports and exit codes; what they are about is done by the libraries. Reports go
//! to standard output, progress and errors to standard error; 0 is good, 1 a check that failed,
//! 2 bad input or a missing tool.

mod accuracy;
mod commands;
mod curves;
mod device;
mod duration;
mod failure;
mod host;
mod images;
mod interrupt;
mod layer_errors;
mod layers;
mod model;
mod output;
mod plot;
mod progress;
mod statistics;
mod trust;

use clap::{Parser, Subcommand};
use failure::Outcome;
use std::process::ExitCode;

/// Residual networks on microcontrollers: train, quantize, plan, validate, run.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Doctor(commands::doctor::Doctor),
    Dataset(commands::dataset::Dataset),
    Train(commands::train::Train),
    Import(commands::import::Import),
    Export(commands::export::Export),
    Quantize(commands::quantize::Quantize),
    Evaluate(commands::evaluate::Evaluate),
    Analyze(commands::analyze::Analyze),
    Plan(commands::plan::Plan),
    Run(commands::run::Run),
    Validate(commands::validate::Validate),
    Bench(commands::bench::Bench),
    Inspect(commands::inspect::Inspect),
    Boards(commands::boards::Boards),
    Probe(commands::probe::Probe),
    Flash(commands::flash::Flash),
    Monitor(commands::monitor::Monitor),
    Watch(commands::watch::Watch),
    Report(commands::report::Report),
    Experiment(commands::experiment::Experiment),
}

impl Command {
    fn run(&self) -> Outcome {
        match self {
            Self::Doctor(command) => command.run(),
            Self::Dataset(command) => command.run(),
            Self::Train(command) => command.run(),
            Self::Import(command) => command.run(),
            Self::Export(command) => command.run(),
            Self::Quantize(command) => command.run(),
            Self::Evaluate(command) => command.run(),
            Self::Analyze(command) => command.run(),
            Self::Plan(command) => command.run(),
            Self::Run(command) => command.run(),
            Self::Validate(command) => command.run(),
            Self::Bench(command) => command.run(),
            Self::Inspect(command) => command.run(),
            Self::Boards(command) => command.run(),
            Self::Probe(command) => command.run(),
            Self::Flash(command) => command.run(),
            Self::Monitor(command) => command.run(),
            Self::Watch(command) => command.run(),
            Self::Report(command) => command.run(),
            Self::Experiment(command) => command.run(),
        }
    }
}

/// The command line, or the exit code after what is to be said about it.
fn parse() -> Result<Arguments, ExitCode> {
    Arguments::try_parse().map_err(|error| {
        if !error.use_stderr() {
            // Help or version, which was asked for; who closed the pipe wants no more of it.
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        // Ends as all errors here do.
        let text = error.render().to_string();
        let said = text.split("For more information").next().unwrap_or(&text).trim_end();
        eprintln!("{said}\nhelp: `--help` after a command lists what it takes");
        ExitCode::from(2)
    })
}

fn main() -> ExitCode {
    let arguments = match parse() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    match arguments.command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(failure.code())
        }
    }
}
