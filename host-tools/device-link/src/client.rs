//! Typed calls over a device's serial line.

use crate::conversation::Conversation;
use crate::device::Device;
use crate::error::LinkError;
use resmcu_wire_protocol::{
    CounterUnit, FRAME_BYTES_MAX, FRAME_BYTES_MIN, FRAME_OVERHEAD_BYTES, LoadFailure, MemoryUse,
    ModelState, PROTOCOL_VERSION, Request, Response, TopClass, WRITE_BYTES_MAX, Watch,
};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// How long answers may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From a start to the first answer.
    pub boot: Duration,
    /// Any other answer.
    pub answer: Duration,
    /// A whole inference, or one step of a streamed one.
    pub run: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { boot: seconds(30), answer: seconds(30), run: seconds(600) }
    }
}

/// Who a device is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceSummary {
    /// Version of the firmware.
    pub firmware: String,
    /// Name of the board.
    pub board: String,
    /// Instruction set of the firmware.
    pub isa: String,
    /// What its counts count.
    pub unit: CounterUnit,
    /// The longest frame that it takes.
    pub frame_bytes_max: usize,
    /// Bytes of arena that a model may use.
    pub arena_capacity: u32,
    /// Bytes of flash that a model may fill.
    pub slot_capacity: u32,
    /// Its model, or why it has none.
    pub model: Result<LoadedModel, LoadFailure>,
}

/// A model that a device has loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadedModel {
    /// Its name, at most 40 bytes of it.
    pub name: String,
    /// The CRC-32 of its file.
    pub crc: u32,
    /// Height, width, channels.
    pub input_shape: [u16; 3],
    /// Bytes of the input tensor.
    pub input_bytes: usize,
    /// Bytes of the output tensor.
    pub output_bytes: usize,
    /// Number of classes.
    pub classes: u16,
    /// Number of steps.
    pub steps: u16,
}

/// One inference.
#[derive(Clone, Debug, PartialEq)]
pub struct Inference {
    /// The output tensor's bytes.
    pub output: Vec<u8>,
    /// The margin is below the model's threshold: the answer is «unknown», and `top` what it
    /// would have been.
    pub unknown: bool,
    /// The best classes, best first.
    pub top: Vec<TopClass>,
    /// Instructions or cycles of it.
    pub count: u64,
}

/// One inference, counted by steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Instructions or cycles of each step.
    pub steps: Vec<u64>,
    /// Their sum.
    pub total: u64,
    /// Every run of a step, in order: its number, and its count.
    pub runs: Vec<(u16, u64)>,
    /// Requests that carried the image, in each of which steps may have run.
    pub requests: usize,
}

/// Rows of a tensor of a traced inference, or all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TensorCrc {
    /// 0 is the input, `n` the output of step `n - 1`.
    pub tensor: u16,
    /// The first byte of the tensor that it is about.
    pub at: u32,
    /// CRC-32 of its bytes in raster order.
    pub crc: u32,
    /// How many bytes.
    pub bytes: u32,
}

/// A device that was greeted. Images are bytes of the input tensor: int8, `[H,W,C]`.
pub struct Client<D> {
    pub(crate) line: Conversation<D>,
    pub(crate) summary: DeviceSummary,
    pub(crate) timeouts: Timeouts,
}

impl<D: Device> Client<D> {
    /// Greets the device.
    ///
    /// # Errors
    /// Where it does not answer, or speaks another version.
    pub fn connect(device: D) -> Result<Self, LinkError> {
        Self::connect_with(device, Timeouts::default())
    }

    /// Greets the device, and waits as long as `timeouts` says, now and later.
    ///
    /// # Errors
    /// Where it does not answer, or speaks another version.
    pub fn connect_with(device: D, timeouts: Timeouts) -> Result<Self, LinkError> {
        let summary = DeviceSummary {
            firmware: String::new(),
            board: String::new(),
            isa: String::new(),
            unit: CounterUnit::Instructions,
            frame_bytes_max: FRAME_BYTES_MIN,
            arena_capacity: 0,
            slot_capacity: 0,
            model: Err(LoadFailure { code: 0, details: [0; 2] }),
        };
        let mut client = Self { line: Conversation::new(device), summary, timeouts };
        client.greet()?;
        Ok(client)
    }

    /// Who the device is.
    #[must_use]
    pub fn summary(&self) -> &DeviceSummary {
        &self.summary
    }

    /// The device's model.
    ///
    /// # Errors
    /// Where it has none: why its loader refused what the slot holds.
    pub fn model(&self) -> Result<&LoadedModel, LinkError> {
        self.summary.model.as_ref().map_err(|&failure| LinkError::NoModel { failure })
    }

    /// The device itself, to talk past the protocol.
    pub fn device_mut(&mut self) -> &mut D {
        &mut self.line.device
    }

    /// Asks for one answer past the calls below; `read` gives `None` for one that does not belong
    /// to the question.
    ///
    /// # Errors
    /// Where the device refuses or fails.
    pub fn request<T>(
        &mut self,
        request: &Request<'_>,
        read: impl FnMut(&Response<'_>) -> Option<T>,
    ) -> Result<T, LinkError> {
        self.ask(request, self.timeouts.run, read)
    }

    /// Classifies one image.
    ///
    /// # Errors
    /// Where the image has another size than the model's input, or the device fails.
    pub fn infer(&mut self, image: &[u8]) -> Result<Inference, LinkError> {
        self.write_image(image)?;
        let wait = self.timeouts.run;
        let answer = self.ask(&Request::Infer, wait, |response| match response {
            Response::Inferred { .. } => inferred(response),
            _ => None,
        })?;
        Ok(Inference { output: self.read_output()?, ..answer })
    }

    /// Classifies one image that comes in pieces, such as rows from a camera: the device may
    /// begin before the last one is there.
    ///
    /// # Errors
    /// Where the pieces are fewer or more bytes than the model's input, or the device fails.
    pub fn infer_rows<'r>(
        &mut self,
        rows: impl IntoIterator<Item = &'r [u8]>,
    ) -> Result<Inference, LinkError> {
        let answer = self.pieces(rows, Watch::Nothing, |_| None)?;
        let lost = || LinkError::Line { reason: "an inference without an answer".to_owned() };
        Ok(Inference { output: self.read_output()?, ..answer.ok_or_else(lost)? })
    }

    /// Runs one image and counts each step.
    ///
    /// # Errors
    /// As [`Self::infer`].
    pub fn bench(&mut self, image: &[u8]) -> Result<Counted, LinkError> {
        let mut steps = vec![0_u64; self.model()?.steps.into()];
        let (mut runs, requests) = (Vec::new(), image.len().div_ceil(self.chunk_bytes().max(1)));
        self.pieces([image], Watch::Costs, |response| {
            let Response::StepCost { step, count } = *response else { return None };
            *steps.get_mut(usize::from(step))? += count;
            runs.push((step, count));
            Some(())
        })?;
        let total = steps.iter().sum();
        Ok(Counted { steps, total, runs, requests })
    }

    /// Runs one image and gives the CRC of every tensor, as its rows are made: the input, if the
    /// device holds all of it, then each step's output.
    ///
    /// # Errors
    /// As [`Self::infer`].
    pub fn trace(&mut self, image: &[u8]) -> Result<Vec<TensorCrc>, LinkError> {
        let mut tensors = Vec::new();
        self.pieces([image], Watch::Tensors, |response| {
            let Response::TensorCrc { tensor, at, crc, bytes } = *response else { return None };
            tensors.push(TensorCrc { tensor, at, crc, bytes });
            Some(())
        })?;
        Ok(tensors)
    }

    /// Sends an image in pieces; `read` is told of what comes before the answer of each, and gives
    /// `None` for what does not belong there. The inference's answer, if it has one.
    fn pieces<'r>(
        &mut self,
        rows: impl IntoIterator<Item = &'r [u8]>,
        watch: Watch,
        mut read: impl FnMut(&Response<'_>) -> Option<()>,
    ) -> Result<Option<Inference>, LinkError> {
        let (need, chunk) = (self.model()?.input_bytes, self.chunk_bytes());
        let (mut have, mut answer) = (0, None);
        for bytes in rows.into_iter().flat_map(|row| row.chunks(chunk)) {
            let request = Request::InferRows { offset: as_u32(have), watch, bytes };
            have += bytes.len();
            if have > need {
                return Err(LinkError::ImageSize { have, need });
            }
            answer =
                self.line.exchange(&request, self.timeouts.run, |response| match response {
                    Response::Written { .. } | Response::Done { .. } => {
                        Some(ControlFlow::Break(None))
                    }
                    Response::Inferred { .. } => {
                        inferred(response).map(|i| ControlFlow::Break(Some(i)))
                    }
                    response => read(response).map(ControlFlow::Continue),
                })?;
        }
        if have < need {
            return Err(LinkError::ImageSize { have, need });
        }
        Ok(answer)
    }

    /// The output tensor of the last run.
    ///
    /// # Errors
    /// Where nothing ran since the last image, or the device fails.
    pub fn read_output(&mut self) -> Result<Vec<u8>, LinkError> {
        let (all, chunk) = (self.model()?.output_bytes, self.chunk_bytes());
        let mut output = Vec::with_capacity(all);
        while output.len() < all {
            let len = chunk.min(all - output.len());
            let request = Request::ReadOutput { offset: as_u32(output.len()), len: as_u32(len) };
            let bytes = self.ask(&request, self.timeouts.answer, |response| match response {
                Response::Output { bytes, .. } if bytes.len() == len => Some(bytes.to_vec()),
                _ => None,
            })?;
            output.extend(bytes);
        }
        Ok(output)
    }

    /// Where the device's RAM went.
    ///
    /// # Errors
    /// Where the device fails.
    pub fn memory(&mut self) -> Result<MemoryUse, LinkError> {
        self.ask(&Request::Memory, self.timeouts.answer, |response| match response {
            Response::Memory(memory) => Some(*memory),
            _ => None,
        })
    }

    /// Runs code of known length: what the device counted, and what is right.
    ///
    /// # Errors
    /// Where the device has no such code, or fails.
    pub fn calibrate(&mut self, rounds: u32) -> Result<(u64, u64), LinkError> {
        let request = Request::Calibrate { rounds };
        self.ask(&request, self.timeouts.run, |response| match *response {
            Response::Calibrated { count, expected } => Some((count, expected)),
            _ => None,
        })
    }

    /// Ends the application; the exit code of an emulated board.
    ///
    /// # Errors
    /// Where the device does not end.
    pub fn stop(mut self) -> Result<Option<i32>, LinkError> {
        self.ask(&Request::Stop, self.timeouts.answer, |response| {
            matches!(response, Response::Stopped).then_some(())
        })?;
        self.line.device.wait(Instant::now() + self.timeouts.answer)
    }

    pub(crate) fn hello(&mut self, wait: Duration) -> Result<DeviceSummary, LinkError> {
        let request = Request::Hello { version: PROTOCOL_VERSION };
        self.ask(&request, wait, |response| {
            let Response::Hello(info) = response else { return None };
            Some(DeviceSummary {
                firmware: info.firmware.to_owned(),
                board: info.board.to_owned(),
                isa: info.isa.to_owned(),
                unit: info.unit,
                frame_bytes_max: usize::from(info.frame_bytes_max),
                arena_capacity: info.arena_capacity,
                slot_capacity: info.slot_capacity,
                model: match info.model {
                    ModelState::Refused(failure) => Err(failure),
                    ModelState::Loaded(model) => Ok(LoadedModel {
                        name: model.name.to_owned(),
                        crc: model.crc,
                        input_shape: model.input_shape,
                        input_bytes: model.input_bytes(),
                        output_bytes: model.output_bytes as usize,
                        classes: model.classes,
                        steps: model.steps,
                    }),
                },
            })
        })
    }

    fn write_image(&mut self, image: &[u8]) -> Result<(), LinkError> {
        let need = self.model()?.input_bytes;
        if image.len() != need {
            return Err(LinkError::ImageSize { have: image.len(), need });
        }
        let mut offset = 0;
        for bytes in image.chunks(self.chunk_bytes()) {
            let request = Request::WriteInput { offset: as_u32(offset), bytes };
            offset += bytes.len();
            self.ask(&request, self.timeouts.answer, |response| match *response {
                Response::Written { have } if have as usize == offset => Some(()),
                _ => None,
            })?;
        }
        Ok(())
    }

    /// Most bytes of a tensor that one frame carries to or from this device.
    pub(crate) fn chunk_bytes(&self) -> usize {
        let frame = self.summary.frame_bytes_max.min(FRAME_BYTES_MAX);
        frame.saturating_sub(FRAME_OVERHEAD_BYTES).clamp(1, WRITE_BYTES_MAX)
    }

    /// Asks for one answer; `read` gives `None` for one that does not belong to the question.
    pub(crate) fn ask<T>(
        &mut self,
        request: &Request<'_>,
        wait: Duration,
        mut read: impl FnMut(&Response<'_>) -> Option<T>,
    ) -> Result<T, LinkError> {
        self.line.exchange(request, wait, |response| read(response).map(ControlFlow::Break))
    }
}

/// An inference without its output tensor.
fn inferred(response: &Response<'_>) -> Option<Inference> {
    let Response::Inferred { count, unknown, top } = response else { return None };
    let (count, unknown) = (*count, *unknown);
    Some(Inference { output: Vec::new(), unknown, top: top.to_vec(), count })
}

pub(crate) fn as_u32(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
