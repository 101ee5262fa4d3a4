//! The power goes at every write and every erase of an update, and of the starts after it: the
//! device always comes up with a whole model.

mod flash;

use flash::{Flash, PowerCut, Tear};
use resmcu_model_slots::{
    HEADER_BYTES, Slot, SlotRange, Slots, Standing, State, TRIALS, Trust, UNFINISHED, UpdateError,
    image,
};

/// A model is bytes here; one that begins with this fails its self test.
const BAD: u8 = 0xBA;

/// The reason that its self test gives.
const REASON: u16 = 417;

/// How the power goes at a moment.
const TEARS: [Tear; 5] = [Tear::Before, Tear::Some(1), Tear::Some(2), Tear::Some(3), Tear::After];

fn model(seed: u8, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| (i * 7 + usize::from(seed) * 31 + i / 251) as u8).collect()
}

fn bad(bytes: usize) -> Vec<u8> {
    let mut model = model(9, bytes);
    model[0] = BAD;
    model
}

fn crc(bytes: &[u8]) -> u32 {
    crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(bytes)
}

/// Two slots of half the flash each.
fn slots<const W: usize, const E: usize>(flash: Flash<W, E>) -> Slots<Flash<W, E>> {
    let bytes = flash.bytes.len() as u32 / 2;
    let ranges = [SlotRange { start: 0, bytes }, SlotRange { start: bytes, bytes }];
    Slots::new(flash, ranges, Trust::Anyone)
}

/// The bytes of a model in flash.
fn read<const W: usize, const E: usize>(flash: &Flash<W, E>, slot: Slot, bytes: u32) -> Vec<u8> {
    let start = match slot {
        Slot::A => 0,
        Slot::B => flash.bytes.len() / 2,
    } + HEADER_BYTES as usize;
    flash.bytes[start..][..bytes as usize].to_vec()
}

/// What runs after a start: the slot and its model.
type Runs = Result<Option<(Slot, Vec<u8>)>, PowerCut>;

/// A start of the device: the model that it then runs, and the flash.
fn start<const W: usize, const E: usize>(flash: Flash<W, E>) -> (Runs, Flash<W, E>) {
    let seen = flash.clone(); // the models do not change in a start
    let mut slots = slots(flash);
    let chosen = slots.select(|choice| {
        let model = read(&seen, choice.slot, choice.header.bytes);
        if model.first() == Some(&BAD) { Err(REASON) } else { Ok(()) }
    });
    let model = chosen.map(|choice| {
        choice.map(|choice| (choice.slot, read(&seen, choice.slot, choice.header.bytes)))
    });
    (model, slots.into_flash())
}

/// An update in pieces of uneven sizes, and the start after it.
fn update<const W: usize, const E: usize>(
    flash: Flash<W, E>,
    running: Option<Slot>,
    new: &[u8],
) -> (Result<(), UpdateError<PowerCut>>, Flash<W, E>) {
    let mut slots = slots(flash);
    let result = (|| {
        slots.begin(running, new.len() as u32, crc(new))?;
        let mut offset = 0;
        for piece in new.chunks(77) {
            slots.write(offset, piece)?;
            offset += piece.len() as u32;
        }
        slots.commit(None).map(|_| ())
    })();
    (result, slots.into_flash())
}

/// The flash of a device that runs `old`, which was confirmed, in the slot that `updates` lead to.
fn running<const W: usize, const E: usize>(
    blocks: usize,
    old: &[u8],
    updates: usize,
) -> (Flash<W, E>, Option<Slot>) {
    let (mut flash, mut slot) = (Flash::new(blocks), None);
    for update_number in 0..updates {
        let last = update_number + 1 == updates;
        let model = if last { old.to_vec() } else { model(77, 40) };
        let (updated, after) = update(flash, slot, &model);
        updated.expect("no power cut");
        let (started, after) = start(after);
        let (running, runs) = started.expect("no power cut").expect("a model");
        assert_eq!(runs, model);
        (flash, slot) = (after, Some(running));
    }
    (flash, slot)
}

/// Cuts the power at every moment of an update of `old` to `new` and of the start after it, in
/// every way; then again at every moment of the start after that, `again` of the ways. Gives the
/// number of cuts.
#[track_caller]
fn sweep<const W: usize, const E: usize>(
    old: Option<&[u8]>,
    new: &[u8],
    updates: usize,
    again: &[Tear],
) -> u32 {
    let blocks = 2 * (HEADER_BYTES as usize + 2500).div_ceil(E);
    let (flash, slot) = running::<W, E>(blocks, old.unwrap_or_default(), updates);
    let is_bad = new.first() == Some(&BAD);
    let (updated, after) = update(flash.started(None), slot, new);
    updated.expect("without a cut it succeeds");
    let (first, after) = start(after);
    let of_update = after.moments;
    let expected = if is_bad { old } else { Some(new) };
    let runs = first.expect("no cut").map(|(_, model)| model);
    assert_eq!(runs.as_deref(), expected, "without a cut");
    let mut cuts = 0;
    for moment in 0..of_update {
        for tear in TEARS {
            let cut = flash.started(Some((moment, tear)));
            let (_, after) = update(cut, slot, new);
            let after = if after.is_dead() { after } else { start(after).1 };
            assert!(after.is_dead(), "moment {moment} of {of_update} comes");
            cuts += 1;
            check_start(&after, old, new, &format!("moment {moment}, {tear:?}"));
            let (_, whole_start) = start(after.started(None));
            for second in 0..whole_start.moments {
                for &tear in again {
                    let (result, after) = start(after.started(Some((second, tear))));
                    assert_eq!(result, Err(PowerCut));
                    cuts += 1;
                    let what = format!("moment {moment}, then {second} of the start, {tear:?}");
                    check_start(&after, old, new, &what);
                }
            }
        }
    }
    cuts
}

/// That a device with this flash comes up with a whole model, stays with it, and can be updated.
#[track_caller]
fn check_start<const W: usize, const E: usize>(
    flash: &Flash<W, E>,
    old: Option<&[u8]>,
    new: &[u8],
    what: &str,
) {
    let (runs, after) = start(flash.started(None));
    let runs = runs.expect("no cut");
    let bytes = runs.as_ref().map(|(_, model)| model.as_slice());
    let is_good = new.first() != Some(&BAD);
    assert!(bytes == old || (is_good && bytes == Some(new)), "{what}: lost its model");
    let (again, after) = start(after.started(None));
    assert_eq!(again.as_ref(), Ok(&runs), "{what}: another model at the next start");
    let next = model(200, 100);
    let (updated, after) = update(after.started(None), runs.map(|(slot, _)| slot), &next);
    assert_eq!(updated, Ok(()), "{what}: no further update");
    let (runs, _) = start(after);
    assert_eq!(runs.expect("no cut").expect("a model").1, next, "{what}");
}

/// Every moment on flash of one kind, for good and bad models from both slots.
fn sweep_all<const W: usize, const E: usize>(again: &[Tear]) -> u32 {
    let (old, new) = (model(1, 700), model(2, 650));
    let mut cuts = 0;
    for updates in [1, 2] {
        cuts += sweep::<W, E>(Some(&old), &new, updates, again);
        cuts += sweep::<W, E>(Some(&old), &bad(333), updates, again);
    }
    cuts += sweep::<W, E>(None, &new, 0, again);
    cuts + sweep::<W, E>(None, &bad(64), 0, again)
}

#[test]
fn no_power_cut_loses_the_model() {
    let words = sweep_all::<4, 1024>(&[Tear::Some(5), Tear::After]); // nRF51, nRF52, most others
    let bytes = sweep_all::<1, 256>(&[]); // RP2040's pages, byte by byte
    let double = sweep_all::<8, 2048>(&[Tear::Some(6)]); // STM32L4: double words with ECC
    let wide = sweep_all::<32, 4096>(&TEARS); // STM32H7: 256 bits with ECC
    let largest = sweep::<4, 1024>(Some(&model(1, 2048)), &model(2, 2048), 2, &[]);
    let counts = [words, bytes, double, wide, largest];
    println!(
        "power cuts: {} by kind of flash {counts:?}, models lost: 0",
        counts.iter().sum::<u32>()
    );
    assert!(counts.iter().all(|&cuts| cuts > 1000), "{counts:?}");
}

#[test]
fn sizes_around_a_unit_and_a_block_survive() {
    for bytes in [1, 31, 32, 33, 704, 703, 705, 1024] {
        sweep::<4, 1024>(Some(&model(1, bytes)), &model(2, bytes), 1, &[]);
    }
}

#[test]
fn a_model_that_brings_the_device_down_is_given_up() {
    let (old, new) = (model(1, 100), model(2, 100));
    let (flash, slot) = running::<4, 1024>(8, &old, 1);
    let (_, mut flash) = update(flash, slot, &new);
    for trial in 0..TRIALS {
        // The first write of the start is the mark of the trial; then nothing more happens.
        let (result, after) = start(flash.started(Some((1, Tear::Before))));
        assert_eq!(result, Err(PowerCut), "trial {trial}");
        flash = after;
    }
    let (runs, after) = start(flash.started(None));
    assert_eq!(runs.map(|runs| runs.map(|(_, model)| model)), Ok(Some(old)));
    let rejected = slots(after).state(Slot::B);
    let code = Standing::Rejected { code: UNFINISHED };
    assert!(matches!(rejected, Ok(State::Whole(_, standing)) if standing == code));
}

#[test]
fn a_rejected_model_says_why_and_the_slot_is_used_again() {
    let (flash, slot) = running::<4, 1024>(8, &model(1, 100), 1);
    assert_eq!(slot, Some(Slot::A));
    let (_, flash) = update(flash, slot, &bad(100));
    let (runs, flash) = start(flash);
    assert_eq!(runs.unwrap().unwrap().0, Slot::A);
    let mut slots = slots(flash);
    let State::Whole(header, standing) = slots.state(Slot::B).unwrap() else { panic!("whole") };
    assert_eq!((header.sequence, standing), (2, Standing::Rejected { code: REASON }));
    assert_eq!(slots.begin(slot, 100, 0), Ok(Slot::B));
}

#[test]
fn what_does_not_belong_to_an_update_is_refused() {
    let capacity = 2048 - HEADER_BYTES;
    let mut slots = slots(Flash::<4, 1024>::new(4));
    let new = model(3, 100);
    assert_eq!(slots.write(0, &new), Err(UpdateError::NotBegun));
    assert_eq!(slots.commit(None), Err(UpdateError::NotBegun));
    let too_large = UpdateError::TooLarge { bytes: capacity + 1, capacity };
    assert_eq!(slots.begin(None, capacity + 1, 0), Err(too_large));
    assert_eq!(slots.begin(None, 100, crc(&new)), Ok(Slot::A));
    assert_eq!(slots.write(1, &new[1..]), Err(UpdateError::Gap { offset: 1, have: 0 }));
    assert_eq!(slots.write(0, &new[..60]), Ok(60));
    assert_eq!(slots.commit(None), Err(UpdateError::Incomplete { have: 60, need: 100 }));
    assert_eq!(slots.write(40, &new[40..80]), Ok(80)); // overlaps: the rest is taken
    assert_eq!(slots.write(0, &new[..80]), Ok(80)); // sent again: nothing is
    let past = UpdateError::OutOfRange { end: 101, bytes: 100 };
    assert_eq!(slots.write(80, &[0; 21]), Err(past));
    assert_eq!(
        slots.write(u32::MAX, &[0; 2]),
        Err(UpdateError::Gap { offset: u32::MAX, have: 80 })
    );
    assert_eq!(slots.write(80, &new[80..]), Ok(100));
    assert_eq!(slots.commit(None), Ok(1));
    assert_eq!(slots.commit(None), Err(UpdateError::NotBegun));
    assert_eq!(slots.begin(None, 3, 0), Ok(Slot::B));
    assert_eq!(slots.write(0, &[1, 2, 3]), Ok(3));
    let expected = UpdateError::Crc { found: crc(&[1, 2, 3]), expected: 0 };
    assert_eq!(slots.commit(None), Err(expected));
    assert_eq!(slots.state(Slot::B), Ok(State::Empty));
    let full = model(4, capacity as usize);
    let (updated, flash) = update(slots.into_flash(), Some(Slot::A), &full);
    assert_eq!((updated, start(flash).0), (Ok(()), Ok(Some((Slot::B, full)))));
}

#[test]
fn a_slot_that_the_host_wrote_runs_without_a_trial() {
    let new = model(5, 1000);
    let mut flash = Flash::<4, 1024>::new(4);
    let whole = [image(&new, 3).as_slice(), &new].concat();
    flash.bytes[..whole.len()].copy_from_slice(&whole);
    let (runs, after) = start(flash);
    assert_eq!((runs, after.moments), (Ok(Some((Slot::A, new))), 0));
    let mut damaged = after.clone();
    damaged.bytes[HEADER_BYTES as usize + 999] ^= 1;
    assert_eq!(start(damaged.clone()).0, Ok(None));
    assert_eq!(slots(damaged).state(Slot::A), Ok(State::Damaged));
}

#[cfg(feature = "ed25519")]
#[test]
fn signed_devices_take_what_their_key_signed() {
    use ed25519_compact::{KeyPair, Seed};
    use resmcu_model_slots::SignatureFault;
    let (pair, other) =
        (KeyPair::from_seed(Seed::new([7; 32])), KeyPair::from_seed(Seed::new([8; 32])));
    let new = model(6, 500);
    let key = *pair.pk;
    let try_with = |signature: Option<[u8; 64]>| {
        let flash = Flash::<4, 1024>::new(4);
        let ranges = [0, 2048].map(|start| SlotRange { start, bytes: 2048 });
        let mut slots = Slots::new(flash, ranges, Trust::Key(key));
        slots.begin(None, 500, crc(&new)).expect("it begins");
        slots.write(0, &new).expect("it fits");
        let result = slots.commit(signature.as_ref());
        (result.map(|_| ()), slots.state(Slot::A).expect("it reads"))
    };
    let signature = *pair.sk.sign(&new, None);
    let (committed, State::Whole(header, _)) = try_with(Some(signature)) else { panic!("whole") };
    assert_eq!((committed, header.signature), (Ok(()), Some(signature)));
    let mut flipped = signature;
    flipped[40] ^= 1;
    let wrong = Err(UpdateError::Signature(SignatureFault::Wrong));
    for bad in [flipped, *other.sk.sign(&new, None), *pair.sk.sign(&new[1..], None), [0; 64]] {
        assert_eq!(try_with(Some(bad)), (wrong, State::Empty));
    }
    let missing = Err(UpdateError::Signature(SignatureFault::Missing));
    assert_eq!(try_with(None), (missing, State::Empty));
}
