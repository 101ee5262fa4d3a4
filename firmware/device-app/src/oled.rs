//! An SSD1306 display of 128x64 pixels, as text of 16 columns and 8 rows.
//!
//! The crate `ssd1306` drives it, in the mode that writes characters without a frame buffer, so
//! that it costs a small board no kilobyte of RAM.

use crate::panel::{Answer, Panel};
use core::fmt::Write;
use embedded_hal::i2c::I2c;
use ssd1306::mode::{DisplayConfig, TerminalMode};
use ssd1306::prelude::{DisplayRotation, DisplaySize128x64, I2CInterface, WriteOnlyDataCommand};
use ssd1306::{I2CDisplayInterface, Ssd1306};

const COLUMNS: usize = 16;

/// The display, with the light beside it.
#[derive(Debug)]
pub struct Oled<DI, P> {
    display: Ssd1306<DI, DisplaySize128x64, TerminalMode>,
    light: P,
    /// It answered when it was set up: otherwise nothing is sent to it.
    is_there: bool,
}

impl<B: I2c, P> Oled<I2CInterface<B>, P> {
    /// The display at the address 0x3C of a bus; see [`Self::new`].
    pub fn on_i2c(bus: B, light: P) -> Self {
        Self::new(I2CDisplayInterface::new(bus), light)
    }
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

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use embedded_hal::i2c::{ErrorKind, ErrorType, Operation};
    use embedded_hal_mock::eh1::i2c::{Mock, Transaction};
    use std::cell::RefCell;
    use std::rc::Rc;
    use std::vec::Vec;

    const ANSWER: Answer<'_> = Answer { name: "Ankle boot", class: 9, percent: 97, unknown: false };

    #[derive(Default)]
    struct Light(Rc<RefCell<Vec<bool>>>);

    impl Panel for Light {
        fn busy(&mut self, is_busy: bool) {
            self.0.borrow_mut().push(is_busy);
        }
    }

    /// A bus that keeps what is written.
    #[derive(Clone, Default)]
    struct Bus(Rc<RefCell<Vec<Vec<u8>>>>);

    impl ErrorType for Bus {
        type Error = core::convert::Infallible;
    }

    impl I2c for Bus {
        fn transaction(
            &mut self,
            address: u8,
            all: &mut [Operation<'_>],
        ) -> Result<(), Self::Error> {
            assert_eq!(address, 0x3C);
            for operation in all {
                let Operation::Write(bytes) = operation else { panic!("it only writes") };
                self.0.borrow_mut().push(bytes.to_vec());
            }
            Ok(())
        }
    }

    /// Columns of pixels that a display is sent for an answer.
    fn columns(answer: &Answer<'_>) -> Vec<u8> {
        let bus = Bus::default();
        let mut oled = Oled::on_i2c(bus.clone(), Light::default());
        assert!(oled.is_there());
        bus.0.borrow_mut().clear();
        oled.show(answer);
        // What begins with 0x40 is pixels, what begins with 0x00 commands.
        let sent = bus.0.take();
        sent.iter().filter(|bytes| bytes[0] == 0x40).flat_map(|bytes| bytes[1..].to_vec()).collect()
    }

    #[test]
    fn an_answer_is_three_lines_of_letters() {
        let shown = columns(&ANSWER);
        assert_eq!(shown.len(), 3 * COLUMNS * 8, "three lines of 16 letters, 8 columns each");
        let unknown = columns(&Answer { unknown: true, ..ANSWER });
        let line = COLUMNS * 8;
        assert_ne!(shown[..line], unknown[..line], "the name gives way to `unknown`");
        assert_eq!(shown[line..], unknown[line..]);
        let other = columns(&Answer { class: 8, ..ANSWER });
        assert_ne!(shown[line..2 * line], other[line..2 * line]);
        assert_eq!(shown[2 * line..], other[2 * line..]);
        let strange = columns(&Answer { name: "größer als sechzehn Zeichen", ..ANSWER });
        assert_eq!(strange.len(), shown.len(), "cut, and letters of other alphabets replaced");
    }

    #[test]
    fn a_display_that_does_not_answer_is_left_alone() {
        let failed = Transaction::write(0x3C, std::vec![0, 0xAE]).with_error(ErrorKind::Other);
        let mut bus = Mock::new(&[failed]);
        let light = Light::default();
        let seen = Rc::clone(&light.0);
        let mut oled = Oled::on_i2c(bus.clone(), light);
        assert!(!oled.is_there());
        oled.busy(true);
        oled.show(&ANSWER);
        oled.busy(false);
        assert_eq!(*seen.borrow(), [true, false]);
        bus.done();
    }

    #[test]
    fn numbers_stand_to_the_right() {
        for (number, expected) in
            [(0, "    0 "), (7, "    7 "), (100, "  100 "), (65_535, "65535 ")]
        {
            let mut letters = [b' '; 6];
            decimal(number, &mut letters);
            assert_eq!(core::str::from_utf8(&letters), Ok(expected));
        }
    }
}
