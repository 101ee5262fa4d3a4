//! Image sensors by their control bus (I2C, which their makers call SCCB).

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::I2c;

/// A kind of sensor: where it answers, and by which registers it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sensor {
    /// Its address of seven bits.
    pub address: u8,
    /// Written before its identity is read.
    pub identify: &'static [[u8; 2]],
    /// The registers of its identity and what they hold, less the masked bits.
    pub identity: [(u8, u8); 2],
    /// The bits of the second one that count: the rest is the revision.
    pub mask: u8,
    /// Written to reset it.
    pub reset: &'static [[u8; 2]],
}

/// OmniVision's OV2640, of two megapixels.
pub const OV2640: Sensor = Sensor {
    address: 0x30,
    identify: &[[0xFF, 0x01]], // the sensor's bank
    identity: [(0x0A, 0x26), (0x0B, 0x40)],
    mask: 0xF0,
    reset: &[[0xFF, 0x01], [0x12, 0x80]],
};

/// OmniVision's OV7670, of VGA size.
pub const OV7670: Sensor = Sensor {
    address: 0x21,
    identify: &[],
    identity: [(0x0A, 0x76), (0x0B, 0x70)],
    mask: 0xF0,
    reset: &[[0x12, 0x80]],
};

/// The OV7670 at 320x240 pixels of RGB565 in its full range, its clock divided by two: the
/// registers CLKRC, COM7, COM15 of its data sheet.
pub const OV7670_QVGA_RGB565: &[[u8; 2]] = &[[0x11, 0x01], [0x12, 0x14], [0x40, 0xD0]];

/// Milliseconds that a sensor takes after its reset.
const RESET_MS: u32 = 100;

/// Why a sensor cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SensorError {
    /// Another sensor answers.
    Identity {
        /// What its two registers hold.
        found: [u8; 2],
    },
}

/// Finds the sensor, resets it and writes `registers`.
pub(crate) fn start<I: I2c>(
    bus: &mut I,
    sensor: &Sensor,
    registers: &[[u8; 2]],
    delay: &mut impl DelayNs,
) -> Result<Result<(), SensorError>, I::Error> {
    for pair in sensor.identify {
        bus.write(sensor.address, pair)?;
    }
    let mut found = [0; 2];
    for ((register, _), found) in sensor.identity.iter().zip(&mut found) {
        // Two transfers: SCCB knows no repeated start.
        bus.write(sensor.address, &[*register])?;
        bus.read(sensor.address, core::slice::from_mut(found))?;
    }
    let [(_, first), (_, second)] = sensor.identity;
    if found[0] != first || found[1] & sensor.mask != second & sensor.mask {
        return Ok(Err(SensorError::Identity { found }));
    }
    for pair in sensor.reset {
        bus.write(sensor.address, pair)?;
    }
    delay.delay_ms(RESET_MS);
    for pair in registers {
        bus.write(sensor.address, pair)?;
    }
    Ok(Ok(()))
}
