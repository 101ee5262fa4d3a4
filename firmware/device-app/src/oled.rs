//! An SSD1306 display of 128x64 pixels, as text of 16 columns and 8 rows.
//!
//! The crate `ssd1306` drives it, in the mode that writes characters without a frame buffer, so
//! that it costs a small board no kilobyte of RAM.

use crate::panel::{Answer, Panel};
use core::fmt::Write;
use ssd1306::Ssd1306;
use ssd1306::mode::{DisplayConfig, TerminalMode};
use ssd1306::prelude::{DisplayRotation, DisplaySize128x64, WriteOnlyDataCommand};

const COLUMNS: usize = 16;

/// The display, with the light beside it.
#[derive(Debug)]
pub struct Oled<DI, P> {
    display: Ssd1306<DI, DisplaySize128x64, TerminalMode>,
    light: P,
    /// It answered when it was set up: otherwise nothing is sent to it.
    is_there: bool,
}

impl<DI: WriteOnlyDataCommand, P> Oled<DI, P> {
    /// Sets the display up. One that does not answer stays dark, and is left alone.
    pub fn new(interface: DI, light: P) -> Self {
        let display = Ssd1306::new(interface, DisplaySize128x64, DisplayRotation::Rotate0);
        let mut display = display.into_terminal_mode();
        let is_there = display.init().is_ok() && display.clear().is_ok();
        Self { display, light, is_there }
    }

    /// The display answers.
    #[must_use]
    pub const fn is_there(&self) -> bool {
        self.is_there
    }

    /// One line, cut or filled to the display's width.
    fn line(&mut self, text: &str) -> core::fmt::Result {
        let letters = text.chars().chain(core::iter::repeat(' ')).take(COLUMNS);
        for letter in letters {
            // The display's font is ASCII.
            let letter = if letter.is_ascii_graphic() || letter == ' ' { letter } else { '?' };
            self.display.write_char(letter)?;
        }
        Ok(())
    }

    fn draw(&mut self, answer: &Answer<'_>) -> core::fmt::Result {
        self.display.set_position(0, 0).map_err(|_| core::fmt::Error)?;
        self.line(if answer.unknown { "unknown" } else { answer.name })?;
        let mut digits = [b' '; 6];
        decimal(u32::from(answer.class), &mut digits);
        self.line(core::str::from_utf8(&digits).unwrap_or_default())?;
        let mut digits = [b' '; 6];
        decimal(u32::from(answer.percent), &mut digits);
        digits[5] = b'%';
        self.line(core::str::from_utf8(&digits).unwrap_or_default())
    }
}

/// Writes a number to the right end of the first five letters.
fn decimal(mut number: u32, letters: &mut [u8; 6]) {
    for letter in letters.iter_mut().take(5).rev() {
        *letter = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
}

impl<DI: WriteOnlyDataCommand, P: Panel> Panel for Oled<DI, P> {
    fn busy(&mut self, is_busy: bool) {
        self.light.busy(is_busy);
    }

    fn show(&mut self, answer: &Answer<'_>) {
        if self.is_there {
            self.is_there = self.draw(answer).is_ok();
        }
        self.light.show(answer);
    }

    fn alive(&mut self) {
        self.light.alive();
    }
}
