//! A picture of the camera, classified and shown.

use crate::app::{App, output_of};
use crate::counter::Counter;
use crate::frame::{FrameSource, Scaler};
use crate::panel::{Answer, Panel};
use crate::store::Store;
use embedded_io::{Read, Write};

/// What became of a look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Look {
    /// The best class, its score and whether it is to be trusted.
    Class {
        /// Its index.
        class: u16,
        /// 0 to 1.
        score: f32,
        /// The margin is below the model's threshold.
        unknown: bool,
    },
    /// There is no model, or it has no classes.
    NoModel,
    /// The model's input is not what the scaler was made for.
    OtherInput,
}

impl<S, C, L, const FRAME: usize, M> App<'_, '_, '_, S, C, L, FRAME, M>
where
    S: Read + Write,
    C: Counter,
    L: Panel,
    M: Store,
{
    /// Takes a picture of `source`, scales it by `scaler` (made for this source and this model)
    /// over `row`, classifies it and shows the answer. The image that a host was sending is lost.
    ///
    /// # Errors
    /// What the camera reports.
    pub fn look<F: FrameSource>(
        &mut self,
        source: &mut F,
        scaler: &mut Scaler<'_>,
        row: &mut [u8],
    ) -> Result<Look, F::Error> {
        self.forget_image();
        let Ok(executor) = &mut *self.model else { return Ok(Look::NoModel) };
        if executor.input_bytes() != scaler.output_bytes() {
            return Ok(Look::OtherInput);
        }
        source.capture()?;
        scaler.restart();
        let format = source.format();
        for _ in 0..format.height {
            let row = row.get_mut(..format.row_bytes()).unwrap_or_default();
            source.read_row(row)?;
            self.light.alive();
            if scaler.push(row, |byte| executor.feed(&[byte], &mut ())) {
                break;
            }
        }
        self.light.busy(true);
        executor.run(&mut ());
        self.light.busy(false);
        self.light.alive();
        let (output, bytes) = (output_of(executor), executor.output());
        let unknown = output.margin(bytes) < executor.file().notes().margin_min;
        let Some(&best) = output.top(bytes).first() else { return Ok(Look::NoModel) };
        let name = executor.header().class_names.lines().nth(usize::from(best.class));
        let percent = (100.0 * best.score + 0.5) as u8;
        let name = name.unwrap_or_default();
        self.light.show(&Answer { name, class: best.class, percent, unknown });
        Ok(Look::Class { class: best.class, score: best.score, unknown })
    }
}
