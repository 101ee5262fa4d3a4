//! The choice of a probe, attaching to a chip that is another, and writing to a chip that fails at
//! chosen points.

use super::*;
use crate::firmware::Image;
use crate::hardware::{Hardware, find_hardware};
use probe_rs::integration::{FakeProbe, ProbeLister};
use probe_rs::probe::{DebugProbe, DebugProbeInfo, ProbeFactory};
use resmcu_model_slots::{HEADER_BYTES, image};
use std::ops::Range;
use std::path::PathBuf;

/// What the fake probes are driven by.
#[derive(Debug)]
struct FakeDriver;

impl fmt::Display for FakeDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("fake")
    }
}

impl ProbeFactory for FakeDriver {
    fn open(&self, _: &DebugProbeSelector) -> Result<Box<dyn DebugProbe>, DebugProbeError> {
        Ok(Box::new(FakeProbe::with_mocked_core()))
    }

    fn list_probes(&self) -> Vec<ProbeListItem> {
        Vec::new()
    }
}

/// Probes by product, serial number and whether they may be opened; product 0 is busy.
#[derive(Debug)]
struct Plugged(Vec<(u16, Option<&'static str>, Accessibility)>);

impl ProbeLister for Plugged {
    fn open(&self, selector: &DebugProbeSelector) -> Result<Probe, DebugProbeError> {
        if selector.product_id == 0 {
            return Err(ProbeCreationError::CouldNotOpen.into());
        }
        FakeDriver.open(selector).map(Probe::from_specific_probe)
    }

    fn list_with_access(&self, _: Option<&DebugProbeSelector>) -> Vec<ProbeListItem> {
        let item = |&(product, serial, accessibility): &(u16, Option<&str>, Accessibility)| {
            let serial = serial.map(str::to_owned);
            let info =
                DebugProbeInfo::new("Fake", 0x1234, product, serial, &FakeDriver, None, false);
            ProbeListItem { info, accessibility }
        };
        self.0.iter().map(item).collect()
    }
}

fn probes(plugged: &[(u16, Option<&'static str>)]) -> Probes {
    let ours = |&(product, serial)| (product, serial, Accessibility::Accessible);
    Probes::new(Lister::with_lister(Box::new(Plugged(plugged.iter().map(ours).collect()))))
}

#[track_caller]
fn check_choice(
    plugged: &[(u16, Option<&'static str>)],
    wanted: Option<&str>,
    expected: Result<&str, &str>,
) {
    match (probes(plugged).open(wanted), expected) {
        (Ok((_, info)), Ok(words)) => assert_eq!(info.to_string(), words),
        (Err(error), Err(words)) => {
            assert_eq!(error.to_string(), words);
            assert!(!error.help().is_empty());
        }
        (Ok((_, info)), Err(words)) => panic!("{info}, and not: {words}"),
        (Err(error), Ok(words)) => panic!("{error}, and not: {words}"),
    }
}

#[test]
fn the_probe_that_is_meant_is_opened_or_the_choice_is_said_in_words() {
    let two = [(1, Some("A1")), (2, Some("B2"))];
    check_choice(&[], None, Err("no debug probe is connected"));
    check_choice(&[], Some("A1"), Err("no debug probe is connected"));
    check_choice(&[(1, Some("A1"))], None, Ok("Fake (1234:0001:A1)"));
    check_choice(&[(1, None)], None, Ok("Fake (1234:0001)"));
    check_choice(&two, Some("B2"), Ok("Fake (1234:0002:B2)"));
    check_choice(&two, Some("1234:2"), Ok("Fake (1234:0002:B2)"));
    check_choice(&two, Some("1234:1:A1"), Ok("Fake (1234:0001:A1)"));
    let both = "Fake (1234:0001:A1), Fake (1234:0002:B2)";
    let several = format!("2 debug probes fit, and none was chosen: {both}");
    check_choice(&two, None, Err(&several));
    let none = format!("no connected debug probe is `C3`; there are: {both}");
    check_choice(&two, Some("C3"), Err(&none));
    // One board's serial number is no other's beginning.
    let none = format!("no connected debug probe is `A`; there are: {both}");
    check_choice(&two, Some("A"), Err(&none));
    let alike = [(1, Some("A1")), (1, Some("B2"))];
    let both = "Fake (1234:0001:A1), Fake (1234:0001:B2)";
    let several = format!("2 debug probes fit, and none was chosen: {both}");
    check_choice(&alike, Some("1234:1"), Err(&several));
    match probes(&[(0, Some("A1"))]).open(None) {
        Err(ProbeError::Unusable { probe, reason }) => {
            assert_eq!(probe, "Fake (1234:0000:A1)");
            assert!(reason.contains("could not be opened"), "{reason}");
        }
        other => panic!("{:?}", other.map(|(_, info)| info)),
    }
}

#[test]
fn a_probe_that_the_user_may_not_open_is_listed_and_refused() {
    let plugged = Plugged(vec![(1, None, Accessibility::PermissionDenied)]);
    let probes = Probes::new(Lister::with_lister(Box::new(plugged)));
    assert!(!probes.list()[0].accessible);
    let denied = ProbeError::Denied { probe: "Fake (1234:0001)".into() };
    assert!(denied.help().contains("udev"), "{}", denied.help());
    assert_eq!(probes.open(None).map(|(_, info)| info), Err(denied));
}

#[test]
fn a_chip_that_says_it_is_another_is_not_attached() {
    let board = find_hardware("microbit-v1").expect("the table has it");
    let probes = probes(&[(1, Some("A1"))]);
    // probe-rs's fake core reads as zeros, also where the processor's kind should be.
    let error = Attached::open(&probes, None, board, AttachOptions::default()).err();
    let expected = ProbeError::WrongChip {
        board: "microbit-v1",
        chip: "nRF51822_xxAA",
        address: 0xE000_ED00,
        found: 0,
        expected: 0xC200,
        mask: 0xFFF0,
    };
    assert_eq!(error, Some(expected));
    let unknown = Hardware { chip: "PDP-11", ..*board };
    let unknown: &'static Hardware = Box::leak(Box::new(unknown));
    match Attached::open(&probes, None, unknown, AttachOptions::default()).err() {
        Some(ProbeError::Unreachable { reason, .. }) => {
            assert!(reason.contains("PDP-11"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
}

/// Where a chip fails.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    Nothing,
    /// At the write of this number.
    Write(usize),
    /// Flash keeps another byte here.
    Stuck(u64),
    Read(u64),
    Reset,
}

/// 256 KiB of flash that begin at 0.
struct FakeChip {
    flash: Vec<u8>,
    fault: Fault,
    did: Vec<&'static str>,
}

impl FakeChip {
    fn new(fault: Fault) -> Self {
        Self { flash: vec![0xFF; 256 << 10], fault, did: Vec::new() }
    }

    fn put(&mut self, address: u64, bytes: &[u8]) {
        self.flash[address as usize..][..bytes.len()].copy_from_slice(bytes);
    }
}

impl Memory for FakeChip {
    fn read(&mut self, address: u64, bytes: &mut [u8]) -> Result<(), ProbeError> {
        if self.fault == Fault::Read(address) {
            return Err(ProbeError::Read { address, reason: "a wire is loose".into() });
        }
        bytes.copy_from_slice(&self.flash[address as usize..][..bytes.len()]);
        Ok(())
    }
}

impl Writer for FakeChip {
    fn flash(&self) -> Vec<Range<u64>> {
        vec![0..self.flash.len() as u64, 0x1000_1000..0x1000_1100]
    }

    fn write(&mut self, part: &Part, progress: Progress<'_>) -> Result<(), ProbeError> {
        if self.fault == Fault::Write(self.did.len()) {
            let reason = "the page at 0x400".into();
            return Err(ProbeError::Write { what: part.what, reason });
        }
        self.did.push(part.what);
        for (address, bytes) in &part.pieces {
            self.put(*address, bytes);
            progress(Stage::Program, bytes.len() as u64, bytes.len() as u64);
        }
        if let Fault::Stuck(address) = self.fault {
            self.flash[address as usize] = 0;
        }
        Ok(())
    }

    fn reset(&mut self) -> Result<(), ProbeError> {
        self.did.push("reset");
        match self.fault {
            Fault::Reset => Err(ProbeError::Reset { reason: "no answer".into() }),
            _ => Ok(()),
        }
    }
}

const SLOTS: [Range<u64>; 2] = [0x1_6000..0x2_B000, 0x2_B000..0x3_0000];
const ROOM: u64 = 0x1_5000 - HEADER_BYTES as u64;

fn firmware() -> Image {
    let segments = vec![(0, vec![7; 5000]), (0x4000, vec![9; 300])];
    Image { path: PathBuf::from("board.elf"), slots: SLOTS, segments }
}

fn microbit() -> &'static Hardware {
    find_hardware("microbit-v1").expect("the table has it")
}

fn flash(
    chip: &mut FakeChip,
    image: &Image,
    model: Option<&[u8]>,
    model_only: bool,
) -> Result<Written, ProbeError> {
    let flashed = Flashed { board: microbit(), image, model, model_only };
    let written = flashed.write(chip, &|| false, &mut |_, done, all| assert!(done <= all));
    written.inspect_err(|error| assert!(!error.help().is_empty()))
}

#[test]
fn firmware_and_model_are_written_and_the_chip_begins_anew() {
    let mut chip = FakeChip::new(Fault::Nothing);
    chip.put(0x3_F000, b"of others");
    let model = vec![5; 20_000];
    let written = flash(&mut chip, &firmware(), Some(&model), false);
    let expected = WrittenModel { slot: 0, sequence: 1, bytes: 20_000 };
    assert_eq!(written, Ok(Written { firmware_bytes: 5300, model: Some(expected) }));
    assert_eq!(chip.did, ["the firmware", "the model", "reset"]);
    assert!(chip.flash[..5000].iter().all(|&byte| byte == 7));
    let header = HEADER_BYTES as usize;
    assert_eq!(chip.flash[0x1_6000..][..header], image(&model, 1));
    assert_eq!(chip.flash[0x1_6000 + header..][..20_000], model[..]);
    assert!(chip.flash[0x3_F000..].starts_with(b"of others"));

    // The firmware alone leaves the slots as they are; the model alone the firmware.
    let mut alone = FakeChip { flash: chip.flash.clone(), ..FakeChip::new(Fault::Nothing) };
    let written = flash(&mut alone, &firmware(), None, false);
    assert_eq!(written, Ok(Written { firmware_bytes: 5300, model: None }));
    assert_eq!((&alone.did[..], &alone.flash), (&["the firmware", "reset"][..], &chip.flash));
    let written = flash(&mut alone, &firmware(), Some(&[6; 90]), true).expect("it fits");
    assert_eq!(written.firmware_bytes, 0);
    assert_eq!(written.model, Some(WrittenModel { slot: 1, sequence: 2, bytes: 90 }));
    assert_eq!(alone.did[2..], ["the model", "reset"]);
}

/// With models of these numbers in the slots, one of `bytes` goes there.
#[track_caller]
fn check_slot(numbers: [Option<u32>; 2], bytes: u64, expected: (u8, u32)) {
    let mut chip = FakeChip::new(Fault::Nothing);
    for (slot, number) in SLOTS.iter().zip(numbers) {
        if let Some(number) = number {
            chip.put(slot.start, &image(&[1, 2, 3], number));
        }
    }
    let written = flash(&mut chip, &firmware(), Some(&vec![0; bytes as usize]), false);
    let model = written.expect("it fits").model.expect("a model was given");
    assert_eq!((model.slot, model.sequence), expected, "{numbers:?}, {bytes} bytes");
}

#[test]
fn the_newer_model_stays_where_the_other_slot_has_room() {
    check_slot([None, None], 100, (0, 1));
    check_slot([Some(1), None], 100, (1, 2));
    check_slot([None, Some(4)], 100, (0, 5));
    check_slot([Some(3), Some(4)], 100, (0, 5));
    check_slot([Some(5), Some(4)], 100, (1, 6));
    check_slot([Some(u32::MAX), None], 100, (1, u32::MAX));
    check_slot([Some(5), Some(4)], 0x5000 - 320, (1, 6));
    check_slot([Some(5), Some(4)], 0x5000 - 319, (0, 6));
    check_slot([Some(1), None], ROOM, (0, 2));
}

#[track_caller]
fn check_refused(fault: Fault, image: &Image, model: Option<&[u8]>, message: &str, did: &[&str]) {
    let mut chip = FakeChip::new(fault);
    let error = flash(&mut chip, image, model, false).expect_err(message);
    assert!(error.to_string().contains(message), "{error}, and not: {message}");
    assert_eq!(chip.did, did, "{error}");
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_written() {
    let large = vec![0; ROOM as usize + 1];
    let message = "the model file has 85697 bytes, and the largest slot of microbit-v1 holds 85696";
    check_refused(Fault::Nothing, &firmware(), Some(&large), message, &[]);
    let at = |address, bytes| Image { segments: vec![(address, vec![0; bytes])], ..firmware() };
    let message = "the firmware needs 0x3fff0 to 0x40010, and the flash of microbit-v1 is 0x0 to \
                   0x40000, 0x10001000 to 0x10001100";
    check_refused(Fault::Nothing, &at(0x3_FFF0, 0x20), None, message, &[]);
    check_refused(Fault::Nothing, &at(0x2000_0000, 4), None, "needs 0x20000000", &[]);
    let message = "the firmware's code ends at 0x16001, in its model slots, which begin at 0x16000";
    check_refused(Fault::Nothing, &at(0x1_5FFF, 2), None, message, &[]);
    let elsewhere = Image { slots: [0x2100_0000..0x2200_0000, 0..0], ..firmware() };
    let message = "the model's slot needs 0x21000000 to 0x22000000";
    check_refused(Fault::Nothing, &elsewhere, Some(&[1]), message, &[]);
}

#[test]
fn what_fails_is_said_with_the_byte_and_nothing_goes_on_after_it() {
    let (image, model) = (firmware(), Some(&[5; 300][..]));
    let check = |fault, message, did: &[&str]| check_refused(fault, &image, model, message, did);
    check(Fault::Write(0), "writing the firmware failed: the page at 0x400", &[]);
    check(Fault::Write(1), "writing the model failed", &["the firmware"]);
    let message = "the firmware was written and reads back otherwise: the byte at 0x1387 is 0x00, \
                   not 0x07";
    check(Fault::Stuck(4999), message, &["the firmware"]);
    let both = ["the firmware", "the model"];
    check(Fault::Stuck(0x1_6000 + 320), "the model was written and reads back", &both);
    check(Fault::Read(0x2_B000), "memory at 0x2b000 cannot be read: a wire is loose", &[]);
    check(Fault::Read(0x4000), "0x4000", &["the firmware"]);
    check(Fault::Reset, "cannot be reset", &["the firmware", "the model", "reset"]);
}

#[test]
fn a_model_does_not_go_beside_another_firmware() {
    let mut chip = FakeChip::new(Fault::Nothing);
    flash(&mut chip, &firmware(), None, false).expect("it fits");
    chip.flash[0x4100] = 8;
    let error = flash(&mut chip, &firmware(), Some(&[1]), true).expect_err("another firmware");
    let path = PathBuf::from("board.elf");
    let expected = ProbeError::OtherFirmware { path, address: 0x4100, found: 8, expected: 9 };
    assert_eq!(error, expected);
    assert_eq!(chip.did, ["the firmware", "reset"]);
}

#[test]
fn ctrl_c_stops_between_the_parts_and_says_what_is_on_the_board() {
    let model = Some(&[5; 300][..]);
    for (after, said, did) in [
        (0, "nothing was written", &[][..]),
        (1, "the firmware is written, the model is not", &["the firmware"][..]),
    ] {
        let mut chip = FakeChip::new(Fault::Nothing);
        let image = firmware();
        let flashed = Flashed { board: microbit(), image: &image, model, model_only: false };
        let asked = std::cell::Cell::new(0);
        let pressed = || asked.replace(asked.get() + 1) == after;
        let error = flashed.write(&mut chip, &pressed, &mut |_, _, _| {}).expect_err(said);
        assert!(error.to_string().contains(said), "{error}");
        assert_eq!(chip.did, did);
    }
}
