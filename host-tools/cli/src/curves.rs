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
    let line = |name: &str, color, value: &dyn Fn(&EpochReport) -> Option<f64>| {
        let point = |report: &EpochReport| Some((report.epoch as f64, value(report)?));
        let points: Vec<_> = epochs.iter().filter_map(point).collect();
        (!points.is_empty()).then(|| Line { name: name.to_owned(), color, faint: false, points })
    };
    let best = epochs.iter().rfind(|report| report.best);
    let mark = best.and_then(|best| {
        let accuracy = percent(best.validation_accuracy?);
        Some((best.epoch as f64, format!("best: epoch {}, {accuracy}", best.epoch)))
    });
    let chart = |y: &str, scale, lines: &[Option<Line>]| Chart {
        x: "epoch".to_owned(),
        y: y.to_owned(),
        scale,
        lines: lines.iter().flatten().cloned().collect(),
        mark: mark.clone(),
    };
    let loss = [
        line("training", 0, &|report| Some(report.train_loss)),
        line("validation", 1, &|report| report.validation_loss),
    ];
    let accuracy = [
        line("training", 0, &|report| Some(100.0 * report.train_accuracy)),
        line("validation", 1, &|report| Some(100.0 * report.validation_accuracy?)),
    ];
    let rate = [line("learning rate", 2, &|report| Some(f64::from(report.learning_rate)))];
    vec![
        chart("loss", Scale::Log, &loss),
        chart("accuracy, %", Scale::Linear, &accuracy),
        chart("learning rate", Scale::Linear, &rate),
    ]
}
