//! The paper's experiments at a tiny size: what they print, what they write, and going on.

use super::{Session, check_fields};
use serde_json::Value;

const DEGRADATION: &str =
    "experiment degradation --data few -n 300 --depths 8,14 --seeds 2 --width 4 --epochs 2 -o runs";

/// That the picture is SVG and names all of `words`.
#[track_caller]
fn check_picture(session: &Session, name: &str, words: &[&str]) {
    let picture = std::fs::read_to_string(session.path(name)).unwrap();
    assert!(picture.starts_with("<svg") && picture.trim_end().ends_with("</svg>"), "{name}");
    for word in words {
        assert!(picture.contains(word), "{name} does not say `{word}`");
    }
}

#[test]
fn degradation_goes_on_where_it_was_interrupted() {
    let session = Session::new();
    session.write_few_images();
    let stopped = session.output(&format!("{DEGRADATION} --time-budget 0.001"));
    assert_eq!(stopped.status.code(), Some(1));
    assert!(session.path("runs/plain-8-seed0.resume.safetensors").exists());

    let report = session.json(DEGRADATION);
    check_fields(&report, &["data", "config.epochs", "files[]", "networks[].points[].epoch"]);
    check_fields(&report, &["networks[].points[].training_loss.low", "comparisons[].spread"]);
    assert_eq!((&report["finished_runs"], &report["planned_runs"]), (&8.into(), &8.into()));
    assert_eq!(
        (&report["training_images"], &report["validation_images"]),
        (&270.into(), &30.into())
    );
    let networks: Vec<&Value> = report["networks"].as_array().unwrap().iter().collect();
    let depths: Vec<&Value> = networks.iter().map(|network| &network["depth"]).collect();
    assert_eq!(depths, [8, 8, 14, 14]);
    assert_eq!(report["comparisons"].as_array().unwrap().len(), 9);
    let names = ["plain-8", "residual-8", "plain-14", "residual-14"];
    check_picture(&session, "runs/curves.svg", &[&names[..], &["training loss"]].concat());
    let values = std::fs::read_to_string(session.path("runs/curves.csv")).unwrap();
    assert_eq!(values.lines().count(), 1 + 8 * 2);

    // All is there: nothing is run again, and the figures are the same.
    let again = session.output(&format!("{DEGRADATION} --json"));
    let errors = String::from_utf8(again.stderr).unwrap();
    assert_eq!(errors.matches("found finished").count(), 8, "{errors}");
    assert_eq!(serde_json::from_slice::<Value>(&again.stdout).unwrap(), report);
    let text = session.text(DEGRADATION);
    for words in names.iter().chain(&["8 of 8", "the spread of 2 seeds", "degradation"]) {
        assert!(text.contains(words), "`{words}`: {text}");
    }
}

#[test]
fn gradient_flow_is_measured_and_drawn() {
    const FLOW: &str =
        "experiment gradient-flow --data few --depths 8,14 --width 4 --batches 2 -o flow";
    let session = Session::new();
    session.write_few_images();
    let report = session.json(FLOW);
    check_fields(&report, &["data", "batches", "config.batch", "files[]", "networks[].ratio"]);
    check_fields(&report, &["networks[].moment", "networks[].layers[].gradient.mean"]);
    assert_eq!(report["networks"].as_array().unwrap().len(), 8);
    let words = ["plain-14", "residual-14", "at initialization", "after one epoch"];
    check_picture(&session, "flow/gradients.svg", &words);
    let values = std::fs::read_to_string(session.path("flow/gradients.csv")).unwrap();
    assert_eq!(values.lines().count(), 1 + 2 * 2 * (8 + 14));
    let text = session.text(FLOW);
    assert!(words.iter().all(|word| text.contains(word)), "{text}");
}
