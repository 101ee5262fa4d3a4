//! A camera whose picture waits in a buffer behind SPI, its sensor set up by I2C: ArduCAM's Mini
//! and its kind.
//!
//! The buffer's registers: 0x00 holds what is written to it, 0x04 starts a capture (2) and clears
//! its flag (1), 0x41 bit 3 says that it is done, 0x42 to 0x44 how many bytes there are, and 0x3C
//! gives them one after the other. A write sets bit 7 of the address.

use super::sensor::{Sensor, start};
use super::{CameraError, FrameFormat, FrameSource};
use core::convert::Infallible;
use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::I2c;
use embedded_hal::spi::{Operation, SpiDevice};

const WRITE: u8 = 0x80;
const TEST: u8 = 0x00;
const CONTROL: u8 = 0x04;
const CLEAR: u8 = 0x01;
const START: u8 = 0x02;
const STATUS: u8 = 0x41;
const DONE: u8 = 0x08;
const SIZE: [u8; 3] = [0x42, 0x43, 0x44];
const BURST: u8 = 0x3C;

/// Milliseconds after which no picture will come: half a second is the longest exposure.
const CAPTURE_MS_MAX: u32 = 1000;

/// The camera.
#[derive(Debug)]
pub struct SpiCamera<S, D> {
    spi: S,
    delay: D,
    format: FrameFormat,
}

/// What the camera's two buses report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BusError<S, I> {
    /// The picture's bus.
    Spi(S),
    /// The sensor's bus.
    I2c(I),
}

/// A camera that could not be started.
pub type StartError<S, I> = CameraError<BusError<S, I>, Infallible>;

impl<S: SpiDevice, D: DelayNs> SpiCamera<S, D> {
    /// Finds buffer and sensor, and sets the sensor up with `registers`, which have to give
    /// pictures of `format`: makers publish such lists for each of their sensors.
    ///
    /// # Errors
    /// Where one of them does not answer as it should.
    pub fn new<I: I2c>(
        mut spi: S,
        bus: &mut I,
        mut delay: D,
        sensor: &Sensor,
        registers: &[[u8; 2]],
        format: FrameFormat,
    ) -> Result<Self, StartError<S::Error, I::Error>> {
        const PATTERN: u8 = 0x55;
        let on_spi = |error| CameraError::Bus(BusError::Spi(error));
        spi.write(&[TEST | WRITE, PATTERN]).map_err(on_spi)?;
        let found = read(&mut spi, TEST).map_err(on_spi)?;
        if found != PATTERN {
            return Err(CameraError::NoBuffer { found });
        }
        let started = start(bus, sensor, registers, &mut delay);
        let started = started.map_err(|error| CameraError::Bus(BusError::I2c(error)))?;
        started.map_err(CameraError::Sensor)?;
        Ok(Self { spi, delay, format })
    }

    /// The bus and the delay, back.
    pub fn into_parts(self) -> (S, D) {
        (self.spi, self.delay)
    }
}

fn read<S: SpiDevice>(spi: &mut S, register: u8) -> Result<u8, S::Error> {
    let mut value = [0];
    spi.transaction(&mut [Operation::Write(&[register]), Operation::Read(&mut value)])?;
    let [value] = value;
    Ok(value)
}

impl<S: SpiDevice, D: DelayNs> FrameSource for SpiCamera<S, D> {
    type Error = CameraError<S::Error, Infallible>;

    fn format(&self) -> FrameFormat {
        self.format
    }

    fn capture(&mut self) -> Result<(), Self::Error> {
        for bits in [CLEAR, START] {
            self.spi.write(&[CONTROL | WRITE, bits]).map_err(CameraError::Bus)?;
        }
        let mut waited = 0;
        while read(&mut self.spi, STATUS).map_err(CameraError::Bus)? & DONE == 0 {
            if waited == CAPTURE_MS_MAX {
                return Err(CameraError::TimedOut { waited });
            }
            self.delay.delay_ms(1);
            waited += 1;
        }
        let mut found = 0;
        for (register, shift) in SIZE.into_iter().zip([0, 8, 16]) {
            let byte = read(&mut self.spi, register).map_err(CameraError::Bus)?;
            found |= u32::from(byte & if shift == 16 { 0x7F } else { 0xFF }) << shift;
        }
        let bytes = self.format.row_bytes() * usize::from(self.format.height);
        let expected = u32::try_from(bytes).unwrap_or(u32::MAX);
        // Some buffers count a few bytes behind the picture.
        if found < expected { Err(CameraError::Size { found, expected }) } else { Ok(()) }
    }

    fn read_row(&mut self, row: &mut [u8]) -> Result<(), Self::Error> {
        let mut operations = [Operation::Write(&[BURST]), Operation::Read(row)];
        self.spi.transaction(&mut operations).map_err(CameraError::Bus)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::super::{OV2640, PixelFormat, SensorError};
    use super::*;
    use embedded_hal::i2c::ErrorKind;
    use embedded_hal_mock::eh1::delay::NoopDelay;
    use embedded_hal_mock::eh1::i2c::{Mock as I2cMock, Transaction as I2cStep};
    use embedded_hal_mock::eh1::spi::{Mock as SpiMock, Transaction as SpiStep};
    use std::vec;
    use std::vec::Vec;

    const FORMAT: FrameFormat = FrameFormat { width: 2, height: 2, pixels: PixelFormat::Rgb565 };

    fn write(bytes: &[u8]) -> Vec<SpiStep<u8>> {
        let bytes = bytes.to_vec();
        vec![SpiStep::transaction_start(), SpiStep::write_vec(bytes), SpiStep::transaction_end()]
    }

    fn read(register: u8, bytes: &[u8]) -> Vec<SpiStep<u8>> {
        let (command, answer) =
            (SpiStep::write_vec(vec![register]), SpiStep::read_vec(bytes.to_vec()));
        vec![SpiStep::transaction_start(), command, answer, SpiStep::transaction_end()]
    }

    fn sensor(identity: [u8; 2]) -> Vec<I2cStep> {
        vec![
            I2cStep::write(0x30, vec![0xFF, 0x01]),
            I2cStep::write(0x30, vec![0x0A]),
            I2cStep::read(0x30, vec![identity[0]]),
            I2cStep::write(0x30, vec![0x0B]),
            I2cStep::read(0x30, vec![identity[1]]),
        ]
    }

    type Camera = SpiCamera<SpiMock<u8>, NoopDelay>;

    /// A camera whose buffer and sensor answer as they should, with what follows on SPI.
    fn camera(after: &[Vec<SpiStep<u8>>]) -> Camera {
        let mut steps = [write(&[0x80, 0x55]), read(0x00, &[0x55])].concat();
        steps.extend(after.concat());
        let mut bus = I2cMock::new(
            &[
                sensor([0x26, 0x42]),
                vec![
                    I2cStep::write(0x30, vec![0xFF, 0x01]),
                    I2cStep::write(0x30, vec![0x12, 0x80]),
                    I2cStep::write(0x30, vec![0xDA, 0x08]),
                ],
            ]
            .concat(),
        );
        let registers = &[[0xDA, 0x08]];
        let spi = SpiMock::new(&steps);
        let camera = SpiCamera::new(spi, &mut bus, NoopDelay::new(), &OV2640, registers, FORMAT);
        bus.done();
        camera.expect("it answers")
    }

    #[test]
    fn a_picture_is_taken_and_read_row_by_row() {
        let mut camera = camera(&[
            write(&[0x84, 0x01]),
            write(&[0x84, 0x02]),
            read(0x41, &[0x00]),
            read(0x41, &[0x08]),
            read(0x42, &[0x08]),
            read(0x43, &[0x00]),
            read(0x44, &[0x80]), // the bit above the size is another's
            read(0x3C, &[1, 2, 3, 4]),
            read(0x3C, &[5, 6, 7, 8]),
        ]);
        assert_eq!(camera.format(), FORMAT);
        camera.capture().expect("a picture");
        let mut row = [0; 4];
        for expected in [[1, 2, 3, 4], [5, 6, 7, 8]] {
            camera.read_row(&mut row).expect("a row");
            assert_eq!(row, expected);
        }
        camera.into_parts().0.done();
    }

    #[test]
    fn pictures_that_do_not_come_or_are_too_small_are_refused() {
        let start = [write(&[0x84, 0x01]), write(&[0x84, 0x02])].concat();
        let mut never = vec![start.clone()];
        never.extend((0..=CAPTURE_MS_MAX).map(|_| read(0x41, &[0])));
        let mut waits = camera(&never);
        assert_eq!(waits.capture(), Err(CameraError::TimedOut { waited: CAPTURE_MS_MAX }));
        waits.into_parts().0.done();
        let size = [read(0x42, &[7]), read(0x43, &[0]), read(0x44, &[0])].concat();
        let mut small = camera(&[start, read(0x41, &[0x08]), size]);
        assert_eq!(small.capture(), Err(CameraError::Size { found: 7, expected: 8 }));
        small.into_parts().0.done();
    }

    #[test]
    fn cameras_that_are_not_there_are_named() {
        let new = |spi: &[SpiStep<u8>], i2c: &[I2cStep]| {
            let (mut spi, mut bus) = (SpiMock::new(spi), I2cMock::new(i2c));
            let delay = NoopDelay::new();
            let made = SpiCamera::new(spi.clone(), &mut bus, delay, &OV2640, &[], FORMAT);
            spi.done();
            bus.done();
            made.map(|_| ()).expect_err("there is none")
        };
        let absent = [write(&[0x80, 0x55]), read(0x00, &[0xFF])].concat();
        assert_eq!(new(&absent, &[]), CameraError::NoBuffer { found: 0xFF });
        let buffer = [write(&[0x80, 0x55]), read(0x00, &[0x55])].concat();
        let other = SensorError::Identity { found: [0x76, 0x73] };
        assert_eq!(new(&buffer, &sensor([0x76, 0x73])), CameraError::Sensor(other));
        let silent = [I2cStep::write(0x30, vec![0xFF, 0x01]).with_error(ErrorKind::Other)];
        let error = new(&buffer, &silent);
        assert_eq!(error, CameraError::Bus(BusError::I2c(ErrorKind::Other)));
    }
}
