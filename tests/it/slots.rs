//! Updates of the model on every emulated board, over its serial line.
//!
//! Needs QEMU and the images that `cargo xtask boards` builds.

use crate::devices::{IMAGE, OUTPUT, start, two_pools};
use resmcu_device_link::wire_protocol::{
    Refusal, Request, Response, SlotState, SlotsInfo, Standing, rejection, tensor_crc,
};
use resmcu_device_link::{Client, LinkError, Qemu, Updated, targets};
use resmcu_model_format::write::annotate;
use resmcu_model_format::{KnownAnswer, Notes};

/// The small model that takes every answer or, above a margin of 1, none; each margin is another
/// file. `wrong` gives it a known answer that it does not know.
pub(crate) fn model(margin_min: u32, wrong: bool) -> Vec<u8> {
    let answer = KnownAnswer { seed: 1, output_crc: 0 };
    let image: Vec<u8> = answer.input().take(48).collect();
    let largest = |channel: usize| {
        let values = (0..16).map(|pixel| image[3 * pixel + channel] as i8);
        values.max().expect("sixteen") as u8
    };
    let crc = tensor_crc(&[0, 1, 2].map(largest));
    let answer = KnownAnswer { output_crc: if wrong { !crc } else { crc }, ..answer };
    let notes = Notes { margin_min, known_answers: 0 };
    annotate(&two_pools(), &notes, &[answer]).expect("a model")
}

/// What a slot holds of a model.
fn whole(sequence: u32, model: &[u8], standing: Standing) -> SlotState {
    let (bytes, crc) = (model.len() as u32, tensor_crc(model));
    SlotState::Whole { sequence, bytes, crc, signed: false, standing }
}

#[track_caller]
fn check_slots(client: &mut Client<Qemu>, running: u8, states: [SlotState; 2]) {
    let SlotsInfo { running: runs, slots, .. } = client.slots().expect("it has slots");
    assert_eq!((runs, slots.map(|slot| slot.state)), (Some(running), states));
}

#[test]
fn every_board_takes_updates_and_gives_bad_ones_up() {
    let (old, new, bad) = (model(0, false), model(2, false), model(0, true));
    for target in targets().iter().filter(|target| target.updates) {
        let mut client = start(target, Some(&old));
        check_slots(&mut client, 0, [whole(1, &old, Standing::Confirmed), SlotState::Empty]);
        let test = client.self_test().expect("it tests itself");
        assert!(test.is_passed() && test.answers == 1, "{}: {test:?}", target.name);
        assert!(test.stack > 256 && test.stack < test.stack_capacity, "{}", target.name);

        let code = rejection::WRONG_ANSWER;
        let updated = client.update(&bad, &[], |_, _| {});
        assert_eq!(updated, Err(LinkError::RolledBack { code }), "{}", target.name);
        let rejected = whole(2, &bad, Standing::Rejected { code });
        check_slots(&mut client, 0, [whole(1, &old, Standing::Confirmed), rejected]);
        assert!(!client.infer(&IMAGE).expect("the old model").unknown);

        let mut told = Vec::new();
        let updated = client.update(&new, &[], |have, of| told.push((have, of)));
        assert_eq!(updated, Ok(Updated { slot: 1, sequence: 3 }), "{}", target.name);
        assert_eq!(told.last(), Some(&(new.len(), new.len())));
        let confirmed = [whole(1, &old, Standing::Confirmed), whole(3, &new, Standing::Confirmed)];
        check_slots(&mut client, 1, confirmed);
        let answer = client.infer_rows(IMAGE.chunks(12)).expect("the new model");
        assert_eq!((answer.output, answer.unknown), (OUTPUT.to_vec(), true), "{}", target.name);
        client.reset().expect("it comes back");
        check_slots(&mut client, 1, confirmed);
        assert_eq!(client.stop(), Ok(Some(0)), "{}", target.name);
    }
}

#[test]
fn what_is_larger_than_the_slot_is_refused_before_anything_is_erased() {
    let old = model(0, false);
    for target in targets().iter().filter(|target| target.updates) {
        let mut client = start(target, Some(&old));
        let capacity = client.slots().expect("it has slots").slots[1].capacity;
        let request = Request::UpdateBegin { bytes: capacity + 1, crc: 0 };
        let answer = client.request(&request, |response| {
            matches!(response, Response::UpdateBegun { .. }).then_some(())
        });
        let refusal = Refusal::UpdateTooLarge { bytes: capacity + 1, capacity };
        let refused = LinkError::Refused { request: "the begin of an update", refusal };
        assert_eq!(answer, Err(refused), "{}", target.name);
        check_slots(&mut client, 0, [whole(1, &old, Standing::Confirmed), SlotState::Empty]);
    }
}

#[test]
fn a_board_that_cannot_write_its_flash_says_so() {
    let model = model(0, false);
    let boards: Vec<_> = targets().iter().filter(|target| !target.updates).collect();
    assert!(!boards.is_empty());
    for target in boards {
        let mut client = start(target, Some(&model));
        let error = client.update(&model, &[], |_, _| {}).expect_err("its flash is read only");
        let refused =
            LinkError::Refused { request: "the begin of an update", refusal: Refusal::NoSlots };
        assert_eq!(error, refused, "{}", target.name);
        let test = client.self_test().expect("it tests itself");
        assert!(test.is_passed() && test.answers == 1, "{}: {test:?}", target.name);
    }
}
