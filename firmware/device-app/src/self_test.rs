//! Whether a model still is what it was, and still answers what it answered.

use resmcu_int8_runtime::{Block, Executor, Step};
use resmcu_wire_protocol::{rejection, tensor_crc};

/// What a test of a model found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Its bytes are those that its CRC-32 was made from.
    pub intact: bool,
    /// Known answers that it carries.
    pub answers: u16,
    /// Those among them that came out otherwise.
    pub wrong: u16,
}

/// Tests the model of `executor`, whose input and output it overwrites.
pub fn self_test(executor: &mut Executor<'_, '_>) -> Findings {
    let file = *executor.file();
    let mut findings = Findings { intact: file.is_intact(), ..Findings::default() };
    for known in file.known_answers() {
        executor.begin();
        for byte in known.input().take(executor.input_bytes()) {
            executor.feed(&[byte], &mut ());
        }
        let is_right = tensor_crc(executor.run(&mut ())) == known.output_crc;
        findings.answers = findings.answers.saturating_add(1);
        findings.wrong = findings.wrong.saturating_add(u16::from(!is_right));
    }
    executor.begin();
    findings
}

/// Loads and tests the model in `file`.
///
/// # Errors
/// The loader's code, or one of [`rejection`].
pub(crate) fn judge(file: &[u8], arena: &mut [Block], plan: &mut [Step]) -> Result<(), u16> {
    let mut executor = Executor::new(file, arena, plan).map_err(|error| error.code())?;
    let findings = self_test(&mut executor);
    match findings {
        Findings { intact: false, .. } => Err(rejection::NOT_INTACT),
        Findings { wrong: 0, .. } => Ok(()),
        _ => Err(rejection::WRONG_ANSWER),
    }
}
