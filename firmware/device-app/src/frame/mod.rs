//! Pictures from cameras, row by row, on their way to a model's input.
//!
//! Owns the trait of a frame source, the pixel formats, and the one scaling and colour conversion
//! that host and device share. Knows neither boards nor models: drivers take the traits of
//! `embedded-hal`, the scaler the shape of an input.

mod colour;
mod fifo_camera;
mod scale;
mod sensor;
mod spi_camera;

pub use colour::PixelFormat;
pub use fifo_camera::{FifoCamera, FifoCameraError, FifoCameraPins, PinError};
pub use scale::{SIDE_MAX, Scaler};
pub use sensor::{OV2640, OV7670, OV7670_QVGA_RGB565, Sensor, SensorError};
pub use spi_camera::{BusError, SpiCamera, StartError};

/// What a source delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameFormat {
    /// Pixels of a row.
    pub width: u16,
    /// Rows.
    pub height: u16,
    /// The bytes of a pixel.
    pub pixels: PixelFormat,
}

impl FrameFormat {
    /// Bytes of one row.
    #[must_use]
    pub const fn row_bytes(&self) -> usize {
        self.width as usize * self.pixels.bytes()
    }
}

/// A camera, or what stands for one.
pub trait FrameSource {
    /// Why there is no picture.
    type Error;

    /// What its rows hold.
    fn format(&self) -> FrameFormat;

    /// Takes a picture; its rows follow.
    ///
    /// # Errors
    /// Where the camera does not answer, or not in time.
    fn capture(&mut self) -> Result<(), Self::Error>;

    /// The next row of the picture, from the top: [`FrameFormat::row_bytes`] bytes.
    ///
    /// # Errors
    /// Where the camera does not answer.
    fn read_row(&mut self, row: &mut [u8]) -> Result<(), Self::Error>;
}

/// Why a camera gives no picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CameraError<B, P> {
    /// The bus of the sensor or of its buffer failed.
    Bus(B),
    /// A pin failed.
    Pin(P),
    /// The sensor.
    Sensor(SensorError),
    /// The buffer between sensor and processor does not answer as it should.
    NoBuffer {
        /// What was read back from its test register.
        found: u8,
    },
    /// No picture came within this many milliseconds.
    TimedOut {
        /// Milliseconds.
        waited: u32,
    },
    /// The picture has another size than the format says.
    Size {
        /// Bytes that came.
        found: u32,
        /// Bytes of the format.
        expected: u32,
    },
}
