//! The curves of one training run: loss, accuracy and learning rate, epoch by epoch.
//!
//! Owns what is drawn of a run; not how, which is `plot`.

use crate::failure::Outcome;
use crate::output::percent;
use crate::plot::{self, Chart, Line, Scale};
use resmcu_quantizer::train::EpochReport;
use std::path::Path;

/// Writes the curves of `epochs` as SVG. `title` names the network and the data.
pub(crate) fn write(path: &Path, title: &str, epochs: &[EpochReport]) -> Outcome {
    plot::write(path, title, &charts(epochs))
}

fn charts(epochs: &[EpochReport]) -> Vec<Chart> {
    let line = |name: &str, color, value: &dyn Fn(&EpochReport) -> f64| Line {
        name: name.to_owned(),
        color,
        faint: false,
        points: epochs.iter().map(|report| (report.epoch as f64, value(report))).collect(),
    };
    let best = epochs.iter().rfind(|report| report.best);
    let mark = best.map(|best| {
        let text = format!("best: epoch {}, {}", best.epoch, percent(best.validation_accuracy));
        (best.epoch as f64, text)
    });
    let chart = |y: &str, scale, lines| Chart {
        x: "epoch".to_owned(),
        y: y.to_owned(),
        scale,
        lines,
        mark: mark.clone(),
    };
    let loss = vec![
        line("training", 0, &|report| report.train_loss),
        line("validation", 1, &|report| report.validation_loss),
    ];
    let accuracy = vec![
        line("training", 0, &|report| 100.0 * report.train_accuracy),
        line("validation", 1, &|report| 100.0 * report.validation_accuracy),
    ];
    let rate = vec![line("learning rate", 2, &|report| f64::from(report.learning_rate))];
    vec![
        chart("loss", Scale::Log, loss),
        chart("accuracy, %", Scale::Linear, accuracy),
        chart("learning rate", Scale::Linear, rate),
    ]
}
