//! Pictures of the camera, classified and shown, between requests of a host.
//!
//! Guarantees that a host is answered between two rows of a picture and two steps of the model, and
//! that its image and its output are left alone for as long as it is there. Knows no camera.

use crate::app::{App, End, output_of};
use crate::counter::Counter;
use crate::frame::{FrameSource, Scaler};
use crate::log::log;
use crate::panel::{Answer, Panel};
use crate::store::Store;
use embedded_hal::delay::DelayNs;
use embedded_io::{Read, ReadReady, Write};
use resmcu_int8_runtime::Progress;
use resmcu_wire_protocol::{Decoder, Sight};

/// Milliseconds without a request after which a host's image is given up for the camera's.
const REST_MS: u32 = 3000;

/// Milliseconds from a picture that the camera did not give to the next try.
const RETRY_MS: u32 = 1000;

/// What became of a look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Look {
    /// The best class, its score and whether it is to be trusted.
    Class(Sight),
    /// There is no model, or it has no classes.
    NoModel,
    /// The model's input is not what the scaler was made for.
    OtherInput,
    /// A host needed the arena, or ended the service.
    Interrupted,
}

/// A camera, and what brings its pictures to a model's input.
#[derive(Debug)]
pub struct Eye<'e, F> {
    /// The camera.
    pub source: F,
    /// Made for this source and for the model's input.
    pub scaler: Scaler<'e>,
    /// Room for one row of the source.
    pub row: &'e mut [u8],
}

impl<S, C, L, const FRAME: usize, M> App<'_, '_, '_, S, C, L, FRAME, M>
where
    S: Read + Write,
    C: Counter,
    L: Panel,
    M: Store,
{
    /// Takes a picture, classifies it and shows the answer. The image that a host was sending is
    /// lost.
    ///
    /// # Errors
    /// What the camera reports.
    pub fn look<F: FrameSource>(&mut self, eye: &mut Eye<'_, F>) -> Result<Look, F::Error> {
        self.look_between(eye, |_| true)
    }

    /// Answers requests as [`serve`](Self::serve) does, and looks through `eye` while the line is
    /// quiet. What is seen is shown on the panel, logged, and told to a host that asks. `delay`
    /// passes the time while the camera rests.
    ///
    /// # Errors
    /// What the serial line reports. A camera that gives no picture is counted and tried again.
    pub fn serve_and_look<F: FrameSource>(
        &mut self,
        eye: &mut Eye<'_, F>,
        delay: &mut impl DelayNs,
    ) -> Result<End, S::Error>
    where
        S: ReadReady,
    {
        let (mut decoder, mut rest) = (Decoder::new(), 0_u32);
        loop {
            if self.link.serial.read_ready()? {
                if let Some(end) = self.receive(&mut decoder)? {
                    return Ok(end);
                }
                if !self.sights.owns_arena {
                    rest = REST_MS;
                }
            } else if rest > 0 {
                delay.delay_ms(1);
                rest -= 1;
                self.light.alive();
            } else {
                let mut ended = Ok(None);
                let look = self.look_between(eye, |app| {
                    ended = app.receive_ready(&mut decoder);
                    matches!(ended, Ok(None))
                });
                if let Some(end) = ended? {
                    return Ok(end);
                }
                rest = self.rest_after(&look);
            }
        }
    }

    /// Answers the requests that are there, without waiting for one.
    fn receive_ready(&mut self, decoder: &mut Decoder<FRAME>) -> Result<Option<End>, S::Error>
    where
        S: ReadReady,
    {
        if self.link.serial.read_ready()? { self.receive(decoder) } else { Ok(None) }
    }

    /// Keeps count of a look; milliseconds until the next one.
    fn rest_after<E>(&mut self, look: &Result<Look, E>) -> u32 {
        match look {
            Ok(Look::Class(_)) => 0,
            Ok(Look::Interrupted) => REST_MS,
            Ok(Look::NoModel | Look::OtherInput) => RETRY_MS,
            Err(_) => {
                self.sights.failures = self.sights.failures.saturating_add(1);
                log!(warn, "no picture, number {=u32}", self.sights.failures);
                RETRY_MS
            }
        }
    }

    /// [`Self::look`]; between two rows and between two steps `between` may serve the line, and
    /// says whether to go on.
    fn look_between<F: FrameSource>(
        &mut self,
        eye: &mut Eye<'_, F>,
        mut between: impl FnMut(&mut Self) -> bool,
    ) -> Result<Look, F::Error> {
        self.forget_image();
        let Ok(executor) = &*self.model else { return Ok(Look::NoModel) };
        if executor.input_bytes() != eye.scaler.output_bytes() {
            return Ok(Look::OtherInput);
        }
        self.sights.owns_arena = true;
        eye.source.capture()?;
        eye.scaler.restart();
        let format = eye.source.format();
        let mut is_whole = false;
        for _ in 0..format.height {
            let row = eye.row.get_mut(..format.row_bytes()).unwrap_or_default();
            eye.source.read_row(row)?;
            self.light.alive();
            if let Ok(executor) = &mut *self.model {
                is_whole = eye.scaler.push(row, |byte| executor.feed(&[byte], &mut ()));
            }
            if !between(self) || !self.sights.owns_arena {
                return Ok(Look::Interrupted);
            }
            if is_whole {
                break;
            }
        }
        Ok(if self.run_between(&mut between) { self.show() } else { Look::Interrupted })
    }

    /// Runs the model on the picture that is there; whether to its end.
    fn run_between(&mut self, between: &mut impl FnMut(&mut Self) -> bool) -> bool {
        self.light.busy(true);
        let mut goes_on = true;
        while goes_on {
            let Ok(executor) = &mut *self.model else { break };
            if executor.step(&mut ()) != Progress::Made {
                break;
            }
            self.light.alive();
            goes_on = between(self) && self.sights.owns_arena;
        }
        self.light.busy(false);
        goes_on
    }

    /// The answer to the picture that was classified, to those who look on.
    fn show(&mut self) -> Look {
        let Ok(executor) = &*self.model else { return Look::NoModel };
        let (output, bytes) = (output_of(executor), executor.output());
        let unknown = output.margin(bytes) < executor.file().notes().margin_min;
        let Some(&best) = output.top(bytes).first() else { return Look::NoModel };
        let sight = Sight { class: best.class, score: best.score, unknown };
        self.sights.looks = self.sights.looks.saturating_add(1);
        self.sights.last = Some(sight);
        let name = executor.header().class_names.lines().nth(usize::from(best.class));
        let (name, percent) = (name.unwrap_or_default(), (100.0 * best.score + 0.5) as u8);
        log!(info, "saw class {=u16}, {=u8} %, unknown: {=bool}", best.class, percent, unknown);
        self.light.show(&Answer { name, class: best.class, percent, unknown });
        Look::Class(sight)
    }
}
