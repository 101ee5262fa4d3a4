//! A camera whose picture waits in a buffer with eight data pins: the OV7670 with AverLogic's
//! AL422B and its kind.
//!
//! The buffer takes a picture from one vertical pulse of the sensor to the next, while its write
//! enable is high; it gives a byte at every rising edge of its read clock.

use super::sensor::{Sensor, start};
use super::{CameraError, FrameFormat, FrameSource};
use embedded_hal::delay::DelayNs;
use embedded_hal::digital::{InputPin, OutputPin};
use embedded_hal::i2c::I2c;

/// Microseconds between two looks at the vertical pulse, which is longer.
const LOOK_US: u32 = 50;

/// Looks after which no picture will come: a second.
const LOOKS_MAX: u32 = 20_000;

/// Clocks that the buffer takes to go back to its first byte.
const RESET_CLOCKS: u32 = 3;

/// The buffer's pins. Outputs are of one type, inputs of another, as HALs erase them.
#[derive(Debug)]
pub struct FifoCameraPins<O, P> {
    /// Writes while high.
    pub write_enable: O,
    /// Begins a picture when low.
    pub write_reset: O,
    /// Begins reading when low.
    pub read_reset: O,
    /// Gives the next byte at its rising edge.
    pub read_clock: O,
    /// The sensor's vertical pulse.
    pub vertical: P,
    /// The byte, its lowest bit first.
    pub data: [P; 8],
}

/// The camera.
#[derive(Debug)]
pub struct FifoCamera<O, P, D> {
    pins: FifoCameraPins<O, P>,
    delay: D,
    format: FrameFormat,
}

/// What the camera's bus and pins report.
pub type FifoCameraError<B, O> = CameraError<B, PinError<O>>;

/// Which of the pins failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinError<O> {
    /// An output.
    Output(O),
    /// An input.
    Input,
}

impl<O: OutputPin, P: InputPin, D: DelayNs> FifoCamera<O, P, D> {
    /// Sets the sensor up with `registers`, which have to give pictures of `format`.
    ///
    /// # Errors
    /// Where the sensor does not answer as it should.
    pub fn new<I: I2c>(
        pins: FifoCameraPins<O, P>,
        bus: &mut I,
        mut delay: D,
        sensor: &Sensor,
        registers: &[[u8; 2]],
        format: FrameFormat,
    ) -> Result<Self, FifoCameraError<I::Error, O::Error>> {
        let started = start(bus, sensor, registers, &mut delay).map_err(CameraError::Bus)?;
        started.map_err(CameraError::Sensor)?;
        Ok(Self { pins, delay, format })
    }

    /// The pins and the delay, back.
    pub fn into_parts(self) -> (FifoCameraPins<O, P>, D) {
        (self.pins, self.delay)
    }

    /// Waits for the next rising edge of the vertical pulse.
    fn wait_for_pulse(
        &mut self,
    ) -> Result<(), FifoCameraError<core::convert::Infallible, O::Error>> {
        for level in [false, true] {
            let mut looks = 0;
            while self.pins.vertical.is_high().map_err(|_| CameraError::Pin(PinError::Input))?
                != level
            {
                if looks == LOOKS_MAX {
                    let waited = LOOKS_MAX * LOOK_US / 1000;
                    return Err(CameraError::TimedOut { waited });
                }
                self.delay.delay_us(LOOK_US);
                looks += 1;
            }
        }
        Ok(())
    }

    /// The next byte of the picture.
    fn byte(&mut self) -> Result<u8, PinError<O::Error>> {
        self.pins.read_clock.set_high().map_err(PinError::Output)?;
        let mut byte = 0;
        for (bit, pin) in self.pins.data.iter_mut().enumerate() {
            if pin.is_high().map_err(|_| PinError::Input)? {
                byte |= 1 << bit;
            }
        }
        self.pins.read_clock.set_low().map_err(PinError::Output)?;
        Ok(byte)
    }

    fn take_picture(&mut self) -> Result<(), FifoCameraError<core::convert::Infallible, O::Error>> {
        let pin = |result: Result<(), O::Error>| {
            result.map_err(|e| CameraError::Pin(PinError::Output(e)))
        };
        self.wait_for_pulse()?;
        pin(self.pins.write_reset.set_low())?;
        self.delay.delay_us(1);
        pin(self.pins.write_reset.set_high())?;
        pin(self.pins.write_enable.set_high())?;
        let pulse = self.wait_for_pulse();
        pin(self.pins.write_enable.set_low())?;
        pulse?;
        pin(self.pins.read_reset.set_low())?;
        for _ in 0..RESET_CLOCKS {
            pin(self.pins.read_clock.set_high())?;
            pin(self.pins.read_clock.set_low())?;
        }
        pin(self.pins.read_reset.set_high())
    }
}

impl<O: OutputPin, P: InputPin, D: DelayNs> FrameSource for FifoCamera<O, P, D> {
    type Error = FifoCameraError<core::convert::Infallible, O::Error>;

    fn format(&self) -> FrameFormat {
        self.format
    }

    fn capture(&mut self) -> Result<(), Self::Error> {
        self.take_picture()
    }

    fn read_row(&mut self, row: &mut [u8]) -> Result<(), Self::Error> {
        for byte in row {
            *byte = self.byte().map_err(CameraError::Pin)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::super::{OV7670, OV7670_QVGA_RGB565, PixelFormat, SensorError};
    use super::*;
    use embedded_hal_mock::eh1::delay::NoopDelay;
    use embedded_hal_mock::eh1::digital::{Mock as Pin, State, Transaction as Step};
    use embedded_hal_mock::eh1::i2c::{Mock as I2cMock, Transaction as I2cStep};
    use std::vec;
    use std::vec::Vec;

    const FORMAT: FrameFormat = FrameFormat { width: 2, height: 1, pixels: PixelFormat::Grey8 };

    fn levels(levels: &[u8], step: impl Fn(State) -> Step) -> Pin {
        let state = |&level: &u8| if level == 0 { State::Low } else { State::High };
        Pin::new(&levels.iter().map(|level| step(state(level))).collect::<Vec<_>>())
    }

    fn driven(to: &[u8]) -> Pin {
        levels(to, Step::set)
    }

    fn seen(values: &[u8]) -> Pin {
        levels(values, Step::get)
    }

    fn i2c(identity: [u8; 2], registers: &[[u8; 2]]) -> I2cMock {
        let mut steps = vec![
            I2cStep::write(0x21, vec![0x0A]),
            I2cStep::read(0x21, vec![identity[0]]),
            I2cStep::write(0x21, vec![0x0B]),
            I2cStep::read(0x21, vec![identity[1]]),
        ];
        steps.extend(registers.iter().map(|pair| I2cStep::write(0x21, pair.to_vec())));
        I2cMock::new(&steps)
    }

    fn done(pins: &mut FifoCameraPins<Pin, Pin>) {
        let FifoCameraPins { write_enable, write_reset, read_reset, read_clock, vertical, data } =
            pins;
        let single = [write_enable, write_reset, read_reset, read_clock, vertical];
        single.into_iter().chain(data).for_each(Pin::done);
    }

    #[test]
    fn a_picture_is_taken_between_two_pulses_and_read_bit_by_bit() {
        let bytes = [0xA5, 0x3C];
        let pins = FifoCameraPins {
            write_enable: driven(&[1, 0]),
            write_reset: driven(&[0, 1]),
            read_reset: driven(&[0, 1]),
            read_clock: driven(&[1, 0, 1, 0, 1, 0, 1, 0, 1, 0]),
            vertical: seen(&[1, 0, 0, 1, 1, 0, 1]),
            data: core::array::from_fn(|bit| seen(&bytes.map(|byte| byte >> bit & 1))),
        };
        let registers = [&[[0x12, 0x80]][..], OV7670_QVGA_RGB565].concat();
        let mut bus = i2c([0x76, 0x73], &registers);
        let camera =
            FifoCamera::new(pins, &mut bus, NoopDelay::new(), &OV7670, OV7670_QVGA_RGB565, FORMAT);
        bus.done();
        let mut camera = camera.expect("it answers");
        camera.capture().expect("a picture");
        let mut row = [0; 2];
        camera.read_row(&mut row).expect("a row");
        assert_eq!(row, bytes);
        done(&mut camera.into_parts().0);
    }

    fn unused(vertical: Pin) -> FifoCameraPins<Pin, Pin> {
        let data = core::array::from_fn(|_| seen(&[]));
        let [write_enable, write_reset, read_reset, read_clock] = [(); 4].map(|()| driven(&[]));
        FifoCameraPins { write_enable, write_reset, read_reset, read_clock, vertical, data }
    }

    #[test]
    fn a_sensor_without_pulse_or_another_one_is_named() {
        let looks = vec![0; LOOKS_MAX as usize + 2]; // low at once, and never high
        let pins = unused(seen(&looks));
        let mut bus = i2c([0x76, 0x70], &[[0x12, 0x80]]);
        let camera = FifoCamera::new(pins, &mut bus, NoopDelay::new(), &OV7670, &[], FORMAT);
        bus.done();
        let mut camera = camera.expect("it answers");
        assert_eq!(camera.capture(), Err(CameraError::TimedOut { waited: 1000 }));
        done(&mut camera.into_parts().0);

        let mut bus = i2c([0x26, 0x42], &[]);
        let mut pins = unused(seen(&[]));
        let camera =
            FifoCamera::new(clone(&pins), &mut bus, NoopDelay::new(), &OV7670, &[], FORMAT);
        let error = camera.map(|_| ()).expect_err("another sensor");
        let other = SensorError::Identity { found: [0x26, 0x42] };
        assert_eq!(error, CameraError::Sensor(other));
        bus.done();
        done(&mut pins);
    }

    fn clone(pins: &FifoCameraPins<Pin, Pin>) -> FifoCameraPins<Pin, Pin> {
        FifoCameraPins {
            write_enable: pins.write_enable.clone(),
            write_reset: pins.write_reset.clone(),
            read_reset: pins.read_reset.clone(),
            read_clock: pins.read_clock.clone(),
            vertical: pins.vertical.clone(),
            data: pins.data.each_ref().map(Pin::clone),
        }
    }
}
