//! `resmcu watch`: what the camera of a real board sees, as it sees it.

use crate::device::{Board, Place, Wishes};
use crate::failure::{Failure, OrFail, Outcome};
use crate::interrupt::Interrupt;
use crate::model::Model;
use crate::output::percent;
use clap::Args;
use resmcu_device_link::Seen;
use resmcu_device_link::wire_protocol::Sight;
use serde::Serialize;
use std::io::Write;
use std::time::{Duration, Instant};

/// From one question to the next.
const EACH: Duration = Duration::from_millis(200);

/// How long a device may take to its first look: the rest after a host's image, and a slow one.
const FIRST: Duration = Duration::from_secs(30);

/// Shows what the camera of a board sees
#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// The model that the board runs: a model file, or a network of the zoo. It names the classes
    model: Option<String>,
    /// `serial:PORT[@BAUD]`, `probe` or `probe:SERIAL` (`resmcu probe` lists what there is)
    #[arg(long, value_name = "T")]
    target: String,
    /// The board behind a probe or a serial port
    #[arg(long, value_name = "B")]
    board: Option<String>,
    /// End after N pictures
    #[arg(short = 'n', value_name = "N")]
    count: Option<u32>,
    /// Print a line of JSON a picture
    #[arg(long)]
    json: bool,
}

/// One picture.
#[derive(Debug, Serialize)]
struct Line<'a> {
    look: u32,
    class: &'a str,
    score: f32,
    unknown: bool,
}

impl Watch {
    pub(crate) fn run(&self) -> Outcome {
        let names = self.class_names()?;
        let wishes = Wishes { board: self.board.as_deref(), ..Wishes::default() };
        let mut board = Board::connect(&Place::find(&self.target)?, wishes)?;
        board.client.model()?;
        let interrupt = Interrupt::listen()?;
        eprintln!("what {} sees; Ctrl-C ends it", board.client.summary().board);
        let begun = Instant::now();
        let (mut shown, mut last) = (0, Seen { looks: 0, failures: 0, last: None });
        while !interrupt.pressed() && self.count.is_none_or(|count| shown < count) {
            let seen = board.client.seen()?;
            if seen.failures != last.failures {
                eprintln!("the camera gave no picture, {} times so far", seen.failures);
            }
            if let Some(sight) = seen.last.filter(|_| seen.looks != last.looks) {
                self.show(seen.looks, sight, &names)?;
                shown += 1;
            } else if seen.looks + seen.failures == 0 && begun.elapsed() > FIRST {
                let waited = FIRST.as_secs();
                return Err(Failure::input(format!("the device looked at nothing in {waited} s"))
                    .help("its firmware has no camera, or the model's input is not the camera's"));
            }
            last = seen;
            std::thread::sleep(EACH);
        }
        Ok(())
    }

    /// The names of the classes, where a model says them.
    fn class_names(&self) -> Outcome<Vec<String>> {
        let Some(model) = &self.model else { return Ok(Vec::new()) };
        let model = Model::load(model)?;
        Ok(model.file()?.header().class_names.lines().map(str::to_owned).collect())
    }

    fn show(&self, look: u32, sight: Sight, names: &[String]) -> Outcome {
        let Sight { class, score, unknown } = sight;
        let number = class.to_string();
        let class = names.get(usize::from(class)).unwrap_or(&number);
        let mut out = std::io::stdout().lock();
        let written = if self.json {
            let line = serde_json::to_string(&Line { look, class, score, unknown });
            writeln!(out, "{}", line.or_fail("the line cannot be written as JSON")?)
        } else if unknown {
            writeln!(out, "{look:>6}  unknown, most like {class} ({})", percent(score.into()))
        } else {
            writeln!(out, "{look:>6}  {class} ({})", percent(score.into()))
        };
        written.and_then(|()| out.flush()).or_fail("the output cannot be written")
    }
}
