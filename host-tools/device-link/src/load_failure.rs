//! A loader's refusal in words: what is wrong, where, and what to do.
//!
//! Owns no code of its own: codes and details are those of the protocol's README, whose table of
//! load errors says the same (the tests compare both).

use resmcu_wire_protocol::LoadFailure;

/// What is wrong with a model, by the loader's code.
const WORDS: [(u16, &str); 32] = [
    (1, "the file is cut short"),
    (2, "no model file: an empty slot"),
    (3, "a format version that this firmware does not know"),
    (4, "the CRC-32 is not that of the bytes"),
    (5, "a field of the prefix"),
    (6, "bytes that are no record"),
    (7, "bytes after the last record"),
    (8, "the numbers of tensors and steps do not go together"),
    (9, "a tensor's side"),
    (10, "a tensor's type, scale or zero point"),
    (11, "a tensor is not aligned"),
    (12, "a tensor ends past the arena that the file declares"),
    (13, "two tensors share memory"),
    (14, "a tensor is used outside of its life"),
    (15, "a step names a tensor that is not there"),
    (16, "a step makes another tensor than its own"),
    (17, "a step's shapes or types"),
    (18, "a step's parameter"),
    (19, "an operator that the profile does not have"),
    (20, "a reference leaves the data section"),
    (21, "a reference that is not aligned"),
    (22, "a tensor's memory holds no row, or more than there are"),
    (23, "a step that cannot make so many rows at a time, or the last one on demand"),
    (24, "a ring is too small for the rows that are needed at the same time"),
    (100, "the arena is too small"),
    (101, "more steps than this firmware decodes"),
    (102, "a kernel that this firmware does not have"),
    (103, "data of another size than the kernel reads"),
    (104, "a requantization constant"),
    (105, "an accumulator bound that the kernel cannot hold"),
    (106, "more scratch than the file declares"),
    (107, "a layer that its kernel does not compute"),
];

/// What is wrong, without the place.
pub(crate) fn what(code: u16) -> String {
    let found = WORDS.iter().find(|(known, _)| *known == code);
    found.map_or_else(|| format!("load error {code}"), |(_, words)| (*words).to_owned())
}

/// What is wrong, and where.
pub(crate) fn words(failure: &LoadFailure) -> String {
    let LoadFailure { code, details: [first, second] } = *failure;
    let place = match code {
        2 => return what(code),
        ..100 => format!("at byte {first}"),
        100 => format!("{first} bytes are needed, and {second} there"),
        101 => format!("{first}, of at most {second}"),
        102 | 107 => format!("step {first}, kernel {second}"),
        103 => format!("step {first}, {second} bytes"),
        104 => format!("step {first}, channel {second}"),
        105 => format!("step {first}, up to {second}"),
        106 => format!("step {first}, {second} bytes are needed"),
        _ => format!("details {first:#x} and {second:#x}"),
    };
    format!("{} ({place})", what(code))
}

/// What to do about it.
pub(crate) fn help(code: u16) -> String {
    let help = match code {
        2 => "`--update` writes the model to the device first; so does `resmcu flash`",
        1 | 4 => "write the model again: what lies in the slot is not what the tool wrote",
        3 | 101 | 102 => {
            "build the firmware again (`cargo xtask boards`) and write it (`resmcu flash`), or \
             pack the model for this board (`--board`)"
        }
        100 => "plan the model for this board's memory (`--ram-budget`), or take a smaller network",
        _ => "`resmcu inspect` checks the file; write it again with `resmcu quantize`",
    };
    help.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(code: u16, details: [u32; 2], expected: &str) {
        assert_eq!(words(&LoadFailure { code, details }), expected);
    }

    #[test]
    fn refusals_say_what_is_wrong_and_where() {
        check(2, [0, 0], "no model file: an empty slot");
        check(4, [16, 0], "the CRC-32 is not that of the bytes (at byte 16)");
        check(100, [9, 8], "the arena is too small (9 bytes are needed, and 8 there)");
        check(107, [3, 8], "a layer that its kernel does not compute (step 3, kernel 8)");
        check(99, [1, 0], "load error 99 (at byte 1)");
        check(900, [1, 31], "load error 900 (details 0x1 and 0x1f)");
    }

    /// The words are those of the specification, whose table has every code of the loader.
    #[test]
    fn the_words_are_those_of_the_protocols_page() {
        let page = include_str!("../../../firmware/wire-protocol/README.md");
        let table = page.split("### Load errors").nth(1).expect("the table is there");
        for (code, words) in WORDS {
            let row = table.lines().find(|line| line.starts_with(&format!("| {code} | ")));
            let row = row.unwrap_or_else(|| panic!("no row of code {code}"));
            let rest = row.split(" | ").nth(1).unwrap_or_default();
            let of_page = rest.trim_end_matches(" |").split(": details").next();
            assert_eq!(of_page, Some(words), "{code}");
        }
        let rows = table.split("\n## ").next().expect("it ends").lines();
        assert_eq!(rows.filter(|line| line.starts_with("| ")).count(), WORDS.len() + 1);
    }
}
