//! A board's camera: the ArduCAM Mini 2MP (an OV2640 behind a buffer on SPI, set up by I2C).
//!
//! Owns how the sensor is set up, and the memory of a row. A camera that answers when the board
//! starts is used. The driver and the way from a picture to a class are the application's.

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::I2c;
use embedded_hal::spi::SpiDevice;
use embedded_io::{ErrorType, Read, ReadReady, Write};
use resmcu_device_app::frame::{FrameFormat, OV2640, PixelFormat, Scaler, SpiCamera};
use resmcu_device_app::{self as device_app, App, Counter, End, Panel, Store};

/// What the sensor is set to give.
const FORMAT: FrameFormat = FrameFormat { width: 320, height: 240, pixels: PixelFormat::Rgb565 };

/// Bytes of one of its rows.
const ROW_BYTES: usize = FORMAT.row_bytes();

/// The widest input of a model, times its channels: ImageNet's.
const SUMS: usize = 3 * 224;

/// The array of the sensor in its mode SVGA, and a quarter of a side, which is what registers hold.
const ARRAY: [u16; 2] = [800, 600];
const fn eighth(pixels: u16) -> u8 {
    (pixels / 8) as u8
}
const fn quarter(pixels: u16) -> u8 {
    (pixels / 4) as u8
}

/// The OV2640 at 320x240 pixels of RGB565, by the registers of its data sheet: all of the array in
/// its mode SVGA, scaled down by the processor behind it.
const REGISTERS: &[[u8; 2]] = &[
    [0xFF, 0x01],                   // the sensor's bank
    [0x12, 0x40],                   // COM7: SVGA
    [0xFF, 0x00],                   // the processor's bank
    [0xE0, 0x04],                   // its video port stands still meanwhile
    [0xC0, eighth(ARRAY[0])],       // HSIZE8: the array
    [0xC1, eighth(ARRAY[1])],       // VSIZE8
    [0x8C, 0x00],                   // SIZEL: nothing below eight pixels
    [0x51, quarter(ARRAY[0])],      // HSIZE: what is taken of it
    [0x52, quarter(ARRAY[1])],      // VSIZE
    [0x53, 0x00],                   // XOFFL: from the corner on
    [0x54, 0x00],                   // YOFFL
    [0x55, 0x00],                   // VHYX: the higher bits of these four
    [0x57, 0x00],                   // TEST: and of HSIZE
    [0x5A, quarter(FORMAT.width)],  // ZMOW: what it is scaled to
    [0x5B, quarter(FORMAT.height)], // ZMOH
    [0x5C, 0x00],                   // ZMHH: the higher bits
    [0xDA, 0x08],                   // IMAGE_MODE: RGB565, high byte first
    [0x05, 0x00],                   // R_BYPASS: the processor is used
    [0xE0, 0x00],                   // the video port goes on
];

/// Where a board's pictures come from, over a line `S`.
pub trait Eye<S: ErrorType> {
    /// Answers a host, and looks while the line is quiet where there is a camera; `input` is the
    /// shape of the model's input, if there is a model.
    ///
    /// # Errors
    /// What the line reports.
    fn serve<C, L, M, const FRAME: usize>(
        &mut self,
        app: &mut App<'_, '_, '_, S, C, L, FRAME, M>,
        input: Option<[u16; 3]>,
    ) -> Result<End, S::Error>
    where
        S: Read + Write,
        C: Counter,
        L: Panel,
        M: Store;
}

/// A board whose pictures come over the serial line.
#[derive(Clone, Copy, Debug)]
pub struct Line;

impl<S: ErrorType> Eye<S> for Line {
    fn serve<C, L, M, const FRAME: usize>(
        &mut self,
        app: &mut App<'_, '_, '_, S, C, L, FRAME, M>,
        _: Option<[u16; 3]>,
    ) -> Result<End, S::Error>
    where
        S: Read + Write,
        C: Counter,
        L: Panel,
        M: Store,
    {
        app.serve()
    }
}

/// The camera's two buses, and a delay.
#[derive(Debug)]
pub struct ArduCam<S, B, D> {
    /// The buffer's bus, with its select pin.
    pub spi: S,
    /// The sensor's bus.
    pub i2c: B,
    /// Waits.
    pub delay: D,
}

impl<L, S, B, D> Eye<L> for ArduCam<S, B, D>
where
    L: Read + ReadReady + Write,
    S: SpiDevice,
    B: I2c,
    D: DelayNs + Clone,
{
    #[inline(never)] // a row and its sums are on its stack
    fn serve<C, P, M, const FRAME: usize>(
        &mut self,
        app: &mut App<'_, '_, '_, L, C, P, FRAME, M>,
        input: Option<[u16; 3]>,
    ) -> Result<End, L::Error>
    where
        C: Counter,
        P: Panel,
        M: Store,
    {
        let Self { spi, i2c, delay } = self;
        let (mut row, mut sums) = ([0; ROW_BYTES], [0; SUMS]);
        let scaler = input.and_then(|input| Scaler::new(FORMAT, input, &mut sums));
        let Some(scaler) = scaler else {
            defmt::info!("the model's input is no picture for the camera");
            return app.serve();
        };
        // Where no buffer answers the sensor is not asked.
        match SpiCamera::new(spi, i2c, delay.clone(), &OV2640, REGISTERS, FORMAT) {
            Ok(source) => {
                defmt::info!("looking through the camera");
                app.serve_and_look(&mut device_app::Eye { source, scaler, row: &mut row }, delay)
            }
            Err(_) => {
                defmt::info!("no camera answers");
                app.serve()
            }
        }
    }
}
