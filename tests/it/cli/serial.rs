//! Boards on serial ports and behind debug probes, as a user reaches them.

use super::errors::check;
use super::{Session, check_fields};
use crate::serial_line::Port;
use serde_json::Value;

const TARGET: &str = "qemu-mps2-an386";

fn counts(bench: &Value) -> Vec<&Value> {
    bench["layers"].as_array().unwrap().iter().map(|layer| &layer["count"]).collect()
}

#[test]
fn a_board_on_a_serial_port_gives_the_reports_of_an_emulated_one() {
    let session = Session::new();
    let port = Port::of_board(TARGET, None);
    // A small file, so that its way through the port is short.
    let small = "--flash-budget 99000";
    let on = format!("{small} --board {TARGET} --target serial:{}", port.name);
    let data = "--data fashion-mnist-small";

    // It has no model yet, and gets one only when it is told to.
    check(&session, &format!("run resnet8-fashion {data} {on}"), 2, &["an empty slot", "--update"]);
    let validate = "validate resnet8-fashion -n 3 --trace";
    let validated = session.json(&format!("{validate} {on} --update"));
    assert_eq!(validated["compared_bytes"], 3 * 40);
    assert_eq!(validated["differing_bytes"], 0);
    assert_eq!(validated["compared_tensors"], 3 * 12);
    assert_eq!(validated["differing_tensors"], 0);
    assert_eq!(validated["target"], format!("serial:{}", port.name));

    // From here on the board runs it, also for the next command.
    let bench = session.json(&format!("bench resnet8-fashion {on}"));
    let emulated = session.json(&format!("bench resnet8-fashion {small} --target {TARGET}"));
    assert_eq!(counts(&bench), counts(&emulated));
    assert_eq!(bench["unit"], "instructions");
    check_fields(&bench, &["ram.arena", "ram.stack", "layers[].kernel"]);
    assert_eq!((&bench["flash"], &bench["modelled_cycles"]), (&Value::Null, &Value::Null));
    let run = session.json(&format!("run resnet8-fashion {data} {on}"));
    let emulated = session.json(&format!("run resnet8-fashion {small} {data} --target {TARGET}"));
    assert_eq!(run["images"], emulated["images"]);

    let words = ["runs the model resnet8-fashion", "not resnet8-fashion", "--update"];
    let large = on.replace(small, "");
    check(&session, &format!("run resnet8-fashion {data} {large}"), 2, &words);
    let other = format!("--board nrf52840-dk --target serial:{}", port.name);
    let words = ["the board is a mps2-an386, not a nrf52840-dk"];
    check(&session, &format!("run resnet8-fashion {data} {other}"), 2, &words);
    let profile = format!("bench resnet8-fashion --profile {on}");
    check(&session, &profile, 2, &["functions are counted on emulated boards only"]);
}

#[test]
fn what_is_not_connected_is_said_in_words() {
    let session = Session::new();
    let run = "run resnet8-fashion --data fashion-mnist-small --target";
    check(&session, &format!("{run} serial:/dev/ttyNobody9"), 2, &["/dev/ttyNobody9", "cable"]);
    check(&session, &format!("{run} serial:/dev/null"), 2, &["/dev/null"]);
    check(&session, &format!("{run} serial:"), 2, &["no port with its baud"]);
    check(&session, &format!("{run} serial:/dev/ttyNobody9@fast"), 2, &["@fast", "@115200"]);
    let silent = Port::silent();
    let words = ["nothing answers on", &silent.name, "115200 baud", "resmcu flash"];
    check(&session, &format!("{run} serial:{}", silent.name), 2, &words);
    check(&session, &format!("{run} host --update"), 2, &["serial port or a probe"]);
    check(&session, &format!("{run} probe"), 2, &["which board", "--board"]);
    check(&session, &format!("{run} probe --board pdp-11"), 2, &["`pdp-11`"]);
}

/// No probe has this serial number, so that no board is written to that a tester has plugged in.
#[test]
fn probes_are_listed_and_flashing_without_one_is_said_in_words() {
    let session = Session::new();
    let listed = session.json("probe");
    assert!(listed["probes"].is_array() && listed["ports"].is_array(), "{listed}");
    assert!(session.text("probe").contains("model format"));
    let elf = crate::devices::images().join("microbit.elf").display().to_string();
    let at = format!("--board microbit-v1 --firmware {elf} --probe no-such-probe");
    check(&session, &format!("flash {at}"), 2, &["debug probe", "resmcu probe"]);
    check(&session, &format!("monitor {at}"), 2, &["debug probe", "resmcu probe"]);
    check(&session, &format!("flash {at} --model-only"), 2, &["<MODEL>"]);
    check(&session, "flash --board qemu-microbit", 2, &["qemu-microbit", "nrf52840-dk"]);
    let absent = "flash --board microbit-v1 --firmware absent.elf --probe no-such-probe";
    check(&session, absent, 2, &["absent.elf", "cargo xtask boards"]);
    let mut command = session.command("flash --board nrf52840-dk --probe no-such-probe");
    command.env("RESMCU_FIRMWARE", "nowhere");
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let words = ["no firmware of nrf52840-dk was built", "nowhere", "--firmware"];
    assert!(words.iter().all(|words| errors.contains(words)), "{errors}");
    assert_eq!(output.status.code(), Some(2));
    let listed = session.json("boards");
    let real = listed["boards"].as_array().unwrap().iter().filter(|board| !board["chip"].is_null());
    assert!(real.count() >= 8, "{listed}");
    check_fields(&listed, &["boards[].has_firmware", "boards[].reached"]);
}
